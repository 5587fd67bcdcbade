// Faults prints what many callers of one key get from Snowfence and from other
// libraries when the load of the key goes wrong.
//
//	go run ./faults                          # every fault and library, some 40 seconds
//	go run ./faults -markdown                # the table in the README
//	go run ./faults -only panic,otter        # one row of one library
//
// Each cell runs in a process of its own, since some faults end the process: the command starts
// itself once for each cell, with a time-out.
//
// faults.go has the faults, libraries.go the setup of each library, trial.go the work of a cell's
// process, and classify.go the words for the results.
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
	"strings"
	"syscall"
	"time"

	"github.com/snowfence/snowfence/internal/atomicfile"
)

// errUsage marks errors of the command line. They lead to exit code 2.
var errUsage = errors.New("wrong usage")

func main() {
	runAsCell()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

const help = `Faults lets the load of one key go wrong while many callers wait for it, with Snowfence
and with other libraries, each set up as its documentation advises. It prints what the
callers got, and whether the key works again afterwards. Each cell of the table is seen
in a process of its own, since some faults end the process.

Flags:
`

// usage writes the help of -h.
func usage(f *flag.FlagSet) {
	out := f.Output()
	fmt.Fprint(out, help)
	f.PrintDefaults()
	fmt.Fprintln(out, "\nFaults:")
	for _, x := range faults {
		fmt.Fprintf(out, "  %-16s %s\n", x.name, x.what)
	}
	fmt.Fprintln(out, "\nLibraries:")
	for _, l := range libraries {
		fmt.Fprintf(out, "  %-20s %s\n", l.name, l.what)
	}
	fmt.Fprint(out, `
Only the first load goes wrong: the next one succeeds. Callers have a deadline of 3s,
where the load hangs one of 200ms (but none in the fault "hang"). A caller hangs if it
has not returned a second after its deadline, or in "hang" after -timeout. Snowfence's
time-out of a load is 30s; with a shorter -timeout its callers count as hanging, too.

Examples:
  go run ./faults -markdown
  go run ./faults -only goexit,hang-hot
  go run ./faults -only panic,singleflight-do,snowfence -callers 1000
  go run ./faults -timeout 2s -json faults.json
`)
}

// options holds the command line.
type options struct {
	config

	faults    []fault
	libraries []library
	markdown  bool
	json      string
}

func parse(args []string, errOut io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("faults", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.Usage = func() { usage(f) }
	f.IntVar(&o.Callers, "callers", 50, "how many callers ask for the key, from 2 to 10000")
	f.DurationVar(&o.Timeout, "timeout", 35*time.Second,
		"how long a caller without a deadline may wait until it counts as hanging")
	f.BoolVar(&o.markdown, "markdown", false,
		"print a table in Markdown, in short words that are explained below it")
	f.StringVar(&o.json, "json", "", "write what was seen into this `file`, too")
	only := f.String("only", "",
		"faults and libraries, with commas between; none of a kind means all of it")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	bad := func(name string, value any, want string) error {
		return fmt.Errorf("%w: -%s: %v: want %s", errUsage, name, value, want)
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("%w: %q is not a flag; faults and libraries are given with -only",
			errUsage, f.Arg(0))
	case o.Callers < 2 || o.Callers > 10_000:
		return nil, bad("callers", o.Callers, "2 to 10000")
	case o.Timeout < time.Second || o.Timeout > 10*time.Minute:
		return nil, bad("timeout", o.Timeout, "1s to 10m")
	}
	if o.json != "" { // before half a minute of work
		if folder, err := os.Stat(filepath.Dir(o.json)); err != nil || !folder.IsDir() {
			return nil, bad("json", o.json, "a file in a folder that exists")
		}
	}
	err := o.choose(*only)
	return o, err
}

// choose sets the faults and libraries to those that names lists.
func (o *options) choose(names string) error {
	for name := range strings.SplitSeq(names, ",") {
		f, isFault := find(faults, name)
		l, isLibrary := find(libraries, name)
		switch {
		case isFault:
			o.faults = append(o.faults, f)
		case isLibrary:
			o.libraries = append(o.libraries, l)
		case names != "":
			return fmt.Errorf("%w: -only: %q: want some of %s, %s",
				errUsage, name, list(faults), list(libraries))
		}
	}
	if len(o.faults) == 0 {
		o.faults = faults
	}
	if len(o.libraries) == 0 {
		o.libraries = libraries
	}
	return nil
}

// A report is written by -json.
type report struct {
	Date     string            `json:"date"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Versions map[string]string `json:"versions"` // by module
	Callers  int               `json:"callers"`
	Cells    []cell            `json:"cells"` // a fault's beside each other

	faults    []fault
	libraries []library
}

func command(ctx context.Context, args []string, out, errOut io.Writer) error {
	o, err := parse(args, errOut)
	if err != nil {
		return err
	}
	fmt.Fprintf(errOut, "faults: %d cells, each in a process of its own; at most %s\n",
		len(o.faults)*len(o.libraries), totalTime(o.config))
	r, err := run(ctx, o)
	if err != nil {
		return err
	}
	text := r.text()
	if o.markdown {
		if text, err = r.markdown(); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(out, text); err != nil || o.json == "" {
		return err
	}
	return atomicfile.Write(o.json, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "\t")
		return e.Encode(r)
	})
}
