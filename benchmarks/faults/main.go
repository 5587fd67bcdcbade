// Faults prints what the callers of Snowfence and of other libraries get when a load goes wrong.
// Its cases are those of package stalltest; it has an adapter for each library.
//
//	go run ./faults                          # every case and library, 75 seconds
//	go run ./faults -markdown                # the tables in docs/migrating.md and in the README
//	go run ./faults -only panic,otter        # one case of one library
//
// caches.go and groups.go have the adapters, and tables.go the tables. Each cell is seen in a
// process of its own, which is this program again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snowfence/snowfence/stalltest"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

func main() {
	stalltest.Main(subjects(libraries)...)
	cli.Main("faults", func(ctx context.Context) error {
		return command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	})
}

// options holds the command line.
type options struct {
	cases     []stalltest.Case
	libraries []library
	callers   int
	timeout   time.Duration
	processes int
	markdown  bool
	json      string
}

const help = `Faults lets loads go wrong while many callers wait, with Snowfence and with other libraries,
each set up as its documentation advises. It prints what the callers got. Each cell is seen in a
process of its own, since some faults end the process.

Flags:
`

// usage writes the help of -h.
func usage(f *flag.FlagSet) {
	out := f.Output()
	fmt.Fprint(out, help)
	f.PrintDefaults()
	fmt.Fprintln(out, "\nCases:")
	cases := stalltest.Cases()
	for i := range cases {
		c := &cases[i]
		fmt.Fprintf(out, "  %-17s %s; %s\n%20swanted: %s\n", c.Name, c.Group, c.What, "", c.Want)
	}
	fmt.Fprintln(out, "\nLibraries:")
	for i := range libraries {
		fmt.Fprintf(out, "  %-17s %s\n", libraries[i].subject.Name, libraries[i].what)
	}
	fmt.Fprint(out, `
Examples:
  go run ./faults -markdown
  go run ./faults -only goexit,hang-hot
  go run ./faults -only panic,otter,cache -callers 1000
  go run ./faults -timeout 5s -json faults.json
`)
}

func parse(args []string, errOut io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("faults", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.Usage = func() { usage(f) }
	f.IntVar(&o.callers, "callers", 50, "how many callers ask for the key, from 10 to 10000")
	f.DurationVar(&o.timeout, "timeout", 40*time.Second,
		"how long a caller without a deadline may wait until it counts as hanging")
	f.IntVar(&o.processes, "processes", 24, "how many cells run at a time, from 1 to 256")
	f.BoolVar(&o.markdown, "markdown", false,
		"print tables in Markdown, in short words that are explained below them")
	f.StringVar(&o.json, "json", "", "write what was seen into this `file`, too")
	only := f.String("only", "",
		"cases and libraries, with commas between; none of a kind means all of it")
	if err := cli.Parse(f, args); err != nil {
		return nil, err
	}
	if err := cli.NoArguments(f, "; cases and libraries are given with -only"); err != nil {
		return nil, err
	}
	if err := cli.CheckFile("json", o.json); err != nil { // before minutes of work
		return nil, err
	}
	err := o.choose(*only)
	return o, err
}

// choose sets the cases and libraries to those that names lists.
func (o *options) choose(names string) error {
	cases := stalltest.Cases()
	for name := range strings.SplitSeq(names, ",") {
		c := slices.IndexFunc(cases, func(c stalltest.Case) bool { return c.Name == name })
		l := slices.IndexFunc(libraries, func(l library) bool { return l.subject.Name == name })
		switch {
		case c >= 0:
			o.cases = append(o.cases, cases[c])
		case l >= 0:
			o.libraries = append(o.libraries, libraries[l])
		case names != "":
			return cli.Wrong("only", strconv.Quote(name), "some of the names that -h lists")
		}
	}
	if len(o.cases) == 0 {
		o.cases = cases
	}
	if len(o.libraries) == 0 {
		o.libraries = libraries
	}
	return nil
}

// matrix runs the cells and returns the report.
func (o *options) matrix(ctx context.Context) (*report, error) {
	names := make([]string, len(o.cases))
	for i := range o.cases {
		names[i] = o.cases[i].Name
	}
	results, err := stalltest.Matrix(ctx, subjects(o.libraries), stalltest.WithCases(names...),
		stalltest.WithCallers(o.callers), stalltest.WithTimeout(o.timeout),
		stalltest.WithProcesses(o.processes))
	if bad := new(stalltest.OptionError); errors.As(err, &bad) {
		return nil, fmt.Errorf("%w: %w", cli.ErrUsage, err)
	}
	return newReport(o, results), err
}

func command(ctx context.Context, args []string, out, errOut io.Writer) error {
	o, err := parse(args, errOut)
	if err != nil {
		return err
	}
	fmt.Fprintf(errOut, "faults: %d cells, each in a process of its own\n",
		len(o.cases)*len(o.libraries))
	r, err := o.matrix(ctx)
	if err != nil {
		return err
	}
	text := r.text()
	if o.markdown {
		text = r.markdown()
	}
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	return cli.WriteJSON(o.json, r)
}
