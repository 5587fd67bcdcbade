// Growth measures how caches of several libraries behave from ten thousand to ten million entries:
// the time of a hit and of a miss, the bytes of an entry, and the duration and pauses of a garbage
// collection. It prints tables and draws curves.
//
//	go run ./growth                                # 3 libraries, 4 sizes, 5 rounds
//	go run ./growth -svg ../docs -markdown         # the tables and charts of docs/performance.md
//	go run ./growth -libs snowfence,theine -sizes 10000,1000000 -rounds 3
//
// In a round every library is measured once, in a process of its own, which is this program again;
// each round begins with another library. The sizes come one after the other. The tables show
// medians, and ratios to Snowfence's value of the same round. What is measured is in measure.go.
//
// An interrupt ends the run. What was measured until then is shown.
//
// A size for which memory may be lacking is skipped, with the reason. What it will need is
// estimated from what the process of the next smaller size has taken.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

func main() {
	cli.Main("growth", func(ctx context.Context) error {
		return command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	})
}

// A plan holds the command line.
type plan struct {
	libraries []library
	sizes     []int // ascending
	rounds    int
	svg       string
	json      string
	from      string
	markdown  bool
}

// mostEntries bounds a size. So many ints take 100 GiB or more.
const mostEntries = 1_000_000_000

func parse(args []string) (*plan, error) {
	f := flag.NewFlagSet("growth", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprint(f.Output(), `Growth measures caches of several sizes and libraries, each in a process
of its own, and prints tables. By default it takes some eight minutes and two gibibytes of memory.

`)
		f.PrintDefaults()
	}
	p := &plan{}
	libs := f.String("libs", "snowfence,otter,golang-lru", "some of "+libraryNames()+
		", with commas between")
	sizes := f.String("sizes", "10000,100000,1000000,10000000",
		"numbers of entries, with commas between")
	f.IntVar(&p.rounds, "rounds", 5, "how often each size of each library is measured")
	f.StringVar(&p.svg, "svg", "",
		"draw the charts, as SVG files in this folder, which is made if need be")
	f.StringVar(&p.json, "json", "", "write the results into this file, too")
	f.StringVar(&p.from, "from", "", "measure nothing: take the results from this file of -json")
	f.BoolVar(&p.markdown, "markdown", false, "print the tables as Markdown")
	if err := cli.Parse(f, args); err != nil {
		return nil, err
	}
	if err := cli.NoArguments(f, ""); err != nil {
		return nil, err
	}
	err := p.validate(*libs, *sizes)
	return p, err
}

// validate checks the values of the flags, and sets the libraries and sizes.
func (p *plan) validate(libs, sizes string) error {
	for name := range strings.SplitSeq(libs, ",") {
		l, ok := libraryOf(name)
		if !ok {
			return cli.Wrong("libs", strconv.Quote(name), "some of "+libraryNames())
		}
		p.libraries = append(p.libraries, l)
	}
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 || n > mostEntries {
			return cli.Wrong("sizes", strconv.Quote(text),
				fmt.Sprintf("numbers from 1000 to %d", mostEntries))
		}
		p.sizes = append(p.sizes, n)
	}
	slices.Sort(p.sizes)
	p.sizes = slices.Compact(p.sizes)
	if p.rounds < 1 || p.rounds > 1000 {
		return cli.Wrong("rounds", p.rounds, "1 to 1000")
	}
	if err := cli.CheckFile("json", p.json); err != nil { // before minutes of work
		return err
	}
	return cli.MakeFolder("svg", p.svg)
}

func command(ctx context.Context, args []string, out, progress io.Writer) error {
	if cli.Measures(args) {
		return cli.Answer(args, out, libraryOf, measure)
	}
	p, err := parse(args)
	if err != nil {
		return err
	}
	if p.from != "" {
		return p.again(out)
	}
	return p.run(ctx, out, progress, inProcess)
}

// run measures, each time by a call of measure, and shows the results.
func (p *plan) run(
	ctx context.Context, out, progress io.Writer,
	measure func(ctx context.Context, l library, entries int) (*result, error),
) error {
	r := &run{plan: p, progress: progress, needs: make(map[string]need), measure: measure}
	stopped := r.rounds(ctx)
	if stopped != nil && (ctx.Err() == nil || len(r.results) == 0) {
		return stopped
	}
	if err := p.write(out, r.results, r.skipped); err != nil {
		return err
	}
	return cli.Stopped(stopped)
}

// again shows the results of an earlier run.
func (p *plan) again(out io.Writer) error {
	data, err := os.ReadFile(p.from)
	if err != nil {
		return fmt.Errorf("%w: -from: %w", cli.ErrUsage, err)
	}
	var results []result
	if err := json.Unmarshal(data, &results); err != nil {
		return fmt.Errorf("%w: -from: %s: %w", cli.ErrUsage, p.from, err)
	}
	return p.write(out, results, nil)
}

// write prints the tables, and writes the files.
func (p *plan) write(out io.Writer, results []result, skipped []string) error {
	if err := show(out, results, skipped, p.markdown); err != nil {
		return err
	}
	if p.svg != "" {
		if err := draw(p.svg, results); err != nil {
			return err
		}
	}
	return cli.WriteJSON(p.json, results)
}
