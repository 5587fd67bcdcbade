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
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/snowfence/snowfence/internal/atomicfile"
)

// errUsage marks errors of the command line. They lead to exit code 2.
var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "second:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "second:", err)
		os.Exit(1)
	}
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
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%w: %q is not a flag", errUsage, f.Arg(0))
	}
	err := p.validate(*libs)
	return p, err
}

// validate checks the values of the flags, and sets the libraries.
func (p *plan) validate(libs string) error {
	bad := func(name string, value any, want string) error {
		return fmt.Errorf("%w: -%s: %v: want %s", errUsage, name, value, want)
	}
	for name := range strings.SplitSeq(libs, ",") {
		l, ok := libraryOf(name)
		if !ok {
			return bad("libs", strconv.Quote(name), "some of "+libraryNames())
		}
		p.libraries = append(p.libraries, l)
	}
	switch {
	case p.rounds < 1 || p.rounds > 1000:
		return bad("rounds", p.rounds, "1 to 1000")
	case p.load.Window < time.Millisecond || p.load.Window > time.Hour:
		return bad("window", p.load.Window, "1ms to 1h")
	case p.load.Keys < 1000 || p.load.Keys > 10_000_000:
		return bad("keys", p.load.Keys, "1000 to 10000000")
	}
	if p.json != "" { // before minutes of work
		if folder, err := os.Stat(filepath.Dir(p.json)); err != nil || !folder.IsDir() {
			return bad("json", p.json, "a file in a folder that is there")
		}
	}
	return nil
}

func command(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 3 && args[0] == measureCommand {
		return answer(ctx, args[1], args[2], out)
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
	if stopped != nil {
		return fmt.Errorf("stopped before the end, what was measured is shown: %w", stopped)
	}
	return nil
}

// write prints the tables, and writes the file.
func (p *plan) write(out io.Writer, results []result) error {
	if err := show(out, results, p.markdown); err != nil {
		return err
	}
	if p.json == "" {
		return nil
	}
	return atomicfile.Write(p.json, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "\t")
		return e.Encode(results)
	})
}
