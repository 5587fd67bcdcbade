// Second measures caches of several libraries with a second level on one Valkey or Redis server:
// hits in the process, reads that only the server can answer, batches of them, and loads from an
// origin. It prints tables. valkey-server or redis-server must be in PATH.
//
//	go run ./second                       # 5 rounds: two minutes
//	go run ./second -markdown             # the tables of docs/performance.md
//	go run ./second -rounds 1 -window 200ms
//
// In a round every library is measured once, in a process of its own, which is this program again;
// each round begins with another library. All use the same server, which is emptied before each
// measurement. What is measured is in measure.go, and how a library is set up in libraries.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

func main() {
	cli.Main("second", func(ctx context.Context) error {
		return command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	})
}

// A plan holds the command line.
type plan struct {
	libraries []library
	rounds    int
	load      load
	json      string
	markdown  bool
}

func parse(args []string) (*plan, error) {
	f := flag.NewFlagSet("second", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprint(f.Output(), `Second measures caches of several libraries with a second level on one
Valkey or Redis server, each in a process of its own, and prints tables.

`)
		for _, l := range libraries {
			fmt.Fprintf(f.Output(), "  %s: %s\n", l.name, l.setUp)
		}
		fmt.Fprintln(f.Output())
		f.PrintDefaults()
	}
	p := &plan{}
	libs := f.String("libs", libraryNames(), "with commas between")
	f.IntVar(&p.rounds, "rounds", 5, "how often each library is measured")
	f.DurationVar(&p.load.Window, "window", time.Second, "how long each kind of read is measured")
	f.IntVar(&p.load.Keys, "keys", 30_000, "how many keys the server holds")
	f.StringVar(&p.json, "json", "", "write the results into this file, too")
	f.BoolVar(&p.markdown, "markdown", false, "print the tables as Markdown")
	if err := cli.Parse(f, args); err != nil {
		return nil, err
	}
	if err := cli.NoArguments(f, ""); err != nil {
		return nil, err
	}
	err := p.validate(*libs)
	return p, err
}

// validate checks the values of the flags, and sets the libraries.
func (p *plan) validate(libs string) error {
	for name := range strings.SplitSeq(libs, ",") {
		l, ok := libraryOf(name)
		if !ok {
			return cli.Wrong("libs", strconv.Quote(name), "some of "+libraryNames())
		}
		p.libraries = append(p.libraries, l)
	}
	switch {
	case p.rounds < 1 || p.rounds > 1000:
		return cli.Wrong("rounds", p.rounds, "1 to 1000")
	case p.load.Window < time.Millisecond || p.load.Window > time.Hour:
		return cli.Wrong("window", p.load.Window, "1ms to 1h")
	case p.load.Keys < 1000 || p.load.Keys > 10_000_000:
		return cli.Wrong("keys", p.load.Keys, "1000 to 10000000")
	}
	return cli.CheckFile("json", p.json)
}

func command(ctx context.Context, args []string, out, progress io.Writer) error {
	if cli.Measures(args) {
		return cli.Answer(args, out, libraryOf, func(l library, w load) (*result, error) {
			return measure(ctx, l, w)
		})
	}
	p, err := parse(args)
	if err != nil {
		return err
	}
	results, stopped := p.run(ctx, progress)
	if stopped != nil && (ctx.Err() == nil || len(results) == 0) {
		return stopped
	}
	if err := p.write(out, results); err != nil {
		return err
	}
	return cli.Stopped(stopped)
}

// write prints the tables, and writes the file.
func (p *plan) write(out io.Writer, results []result) error {
	if err := cli.WriteTables(out, tables(results), p.markdown); err != nil {
		return err
	}
	return cli.WriteJSON(p.json, results)
}
