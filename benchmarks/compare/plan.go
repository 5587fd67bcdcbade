package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// ours is the library that the others are compared with.
const ours = "snowfence"

// allLibs are the libraries of all benchmarks.
const allLibs = "snowfence,snowfence-lru,snowfence-tagged,otter,theine,ristretto,golang-lru," +
	"ttlcache,sturdyc,groupcache,singleflight-do,singleflight-dochan,resenje,floor"

// A plan holds what to run, and where to write the results.
type plan struct {
	rounds    int
	bench     string
	libs      []string
	cpu       string
	benchtime string
	out       string
	from      string
}

func parsePlan(args []string) (*plan, error) {
	p := &plan{}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprint(f.Output(), `Compare runs the benchmarks of Snowfence and of other libraries turn by turn, and
writes raw.txt (for benchstat), compare.md and compare.html into a folder. Run it
in the folder benchmarks, on a machine that has nothing else to do.

`)
		f.PrintDefaults()
		fmt.Fprint(f.Output(), `
Examples:
  go run ./compare -bench 'Hit|Miss' -libs snowfence,otter
  go run ./compare -quick                  # about two minutes, to see that it works
  go run ./compare -from ../out/bench/raw.txt
`)
	}
	f.IntVar(&p.rounds, "rounds", 5, "how often each library has its turn, at least 1")
	f.StringVar(&p.bench, "bench", ".",
		"a regular expression for the names of benchmarks, without what follows a /")
	libs := f.String("libs", allLibs, "the libraries, with commas between")
	f.StringVar(&p.cpu, "cpu", "1,2", "numbers of cores, with commas between")
	f.StringVar(&p.benchtime, "benchtime", "300ms",
		"how long each measurement takes, as for go test; memory is measured once per round")
	f.StringVar(&p.out, "out", filepath.Join("..", "out", "bench"), "the folder for what comes out")
	f.StringVar(&p.from, "from", "", "run nothing: take the results from this raw.txt")
	quick := f.Bool("quick", false, "one round of 20ms each")
	if err := cli.Parse(f, args); err != nil {
		return nil, err
	}
	if err := cli.NoArguments(f, ", nor check"); err != nil {
		return nil, err
	}
	if *quick {
		p.rounds, p.benchtime = 1, "20ms"
	}
	p.libs = strings.Split(*libs, ",")
	if err := p.validate(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *plan) validate() error {
	if p.rounds < 1 {
		return cli.Wrong("rounds", p.rounds, "at least 1")
	}
	if _, err := regexp.Compile(p.bench); err != nil {
		return cli.Wrong("bench", p.bench, "a regular expression: "+err.Error())
	}
	for _, lib := range p.libs {
		if !slices.Contains(strings.Split(allLibs, ","), lib) {
			return cli.Wrong("libs", strconv.Quote(lib), "some of "+allLibs)
		}
	}
	for cpu := range strings.SplitSeq(p.cpu, ",") {
		if n, err := strconv.Atoi(cpu); err != nil || n < 1 {
			return cli.Wrong("cpu", p.cpu, "numbers from 1 on, with commas between")
		}
	}
	if d, err := time.ParseDuration(p.benchtime); err != nil &&
		!regexp.MustCompile(`^[1-9]\d*x$`).MatchString(p.benchtime) || err == nil && d <= 0 {
		return cli.Wrong("benchtime", p.benchtime, "a duration, or a count such as 100x")
	}
	if p.from != "" {
		if _, err := os.Stat(p.from); err != nil {
			return cli.Wrong("from", p.from, "a file: "+err.Error())
		}
	}
	return nil
}

func compareCommand(ctx context.Context, args []string) error {
	p, err := parsePlan(args)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.out, 0o755); err != nil {
		return err
	}
	raw := p.from
	var stopped error
	if raw == "" {
		raw = filepath.Join(p.out, "raw.txt")
		if stopped = p.run(ctx, raw); stopped != nil && ctx.Err() == nil {
			return stopped
		}
	}
	results, err := readResults(raw)
	if err != nil {
		return err
	}
	if err := writeReports(p.out, results); err != nil {
		return err
	}
	fmt.Printf("\n%s\n%s\n", filepath.Join(p.out, "compare.md"), filepath.Join(p.out, "compare.html"))
	if stopped != nil {
		return fmt.Errorf("stopped before the end, what was measured is shown: %w", stopped)
	}
	return nil
}
