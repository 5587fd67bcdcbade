package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snowfence/snowfence/internal/memload"
	"github.com/snowfence/snowfence/internal/progress"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/table"
)

// memoryFlags are the flags of "cachebench memory".
type memoryFlags struct {
	config    memload.Config
	flags     *pflag.FlagSet
	limits    []string
	limitGOGC []string

	dir   string
	check bool
}

func newMemory(out *output) *cobra.Command {
	f := &memoryFlags{config: memload.DefaultConfig()}
	cmd := &cobra.Command{
		Use:   "memory",
		Short: "Fill, churn and shrink a cache, and show what it leaves behind",
		Long: `Memory fills a store with entries, churns it at a steady rate, deletes all but a
part, and goes on with light traffic over what is left. Meanwhile it samples what
the Go runtime says of the heap and of the garbage collector. That is done for
each store with each --gogc; then under each --limit, with each --limit-gogc; and
at last for the stores that have a TTL, with entries that are not deleted but
expire. Each of these runs in a process of its own.

Stores (--stores):
  map                   a Go map behind a mutex, which evicts the oldest
  golang-lru            hashicorp/golang-lru's LRU cache
  golang-lru-expirable  and the one that has a TTL: only where entries expire
  snowfence-uncompact   Snowfence with tables that never shrink (Options.NoCompaction)
  snowfence             Snowfence as it comes
  snowfence-shed        Snowfence that gives up entries as memory runs short (Options.ShedAbove)

What the columns of the table say:
` + glossary(memload.Glossary()) + `

Compaction saves memory, not processor time: Go's collector runs when the heap has
grown by a share of what is live, so that it costs as much per allocated byte
whether much is live or little. Near a limit it saves time, too, since what is left
behind counts towards it.

With --check the exit code is 1 if compaction does not leave 3.5 times less, if
shedding does not stay near GOMEMLIMIT, or if it costs more garbage collection
than filling up to a limit does that does not hold all.`,
		Example: `  cachebench memory                                    # a minute and a half
  cachebench memory --check --out out/memory
  cachebench memory --stores map,snowfence --gogc 100 --limit none --ttl 0 --entries 2000000
  cachebench memory --limit 100MiB,150MiB --limit-gogc off --gogc 100`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, out) },
	}
	var limits []string
	for _, l := range f.config.Limits {
		limits = append(limits, l.String())
	}
	flags := cmd.Flags()
	f.flags = flags
	flags.IntVar(&f.config.Entries, "entries", f.config.Entries, "fill the stores with `n` entries")
	flags.IntVar(&f.config.ValueSize, "value-size", f.config.ValueSize,
		"the size of each value in `bytes`")
	flags.Float64Var(&f.config.Keep, "keep", f.config.Keep,
		"the `share` of the entries that is left after the shrink")
	flags.DurationVar(&f.config.Phase, "phase", f.config.Phase,
		"how long the churn takes, and the light traffic after the shrink")
	flags.IntVar(&f.config.Rate, "rate", f.config.Rate, "operations `per-second`")
	flags.StringSliceVar(&f.config.Stores, "stores", f.config.Stores,
		"stores to run: `name,...`, as listed above")
	flags.IntSliceVar(&f.config.GOGC, "gogc", f.config.GOGC, "run without a limit with GOGC=`n,...`")
	flags.StringSliceVar(&f.limits, "limit", limits,
		"run with GOMEMLIMIT=`size,...`: as 100MiB, or as 1.5x of what the leanest store has live; "+
			"none: no such runs")
	flags.StringSliceVar(&f.limitGOGC, "limit-gogc", []string{"100", "off"},
		"run under a limit with GOGC=`n,...`, or off")
	flags.DurationVar(&f.config.TTL, "ttl", f.config.TTL,
		"the TTL of entries that expire; 0: no such runs")
	flags.Uint64Var(&f.config.Seed, "seed", f.config.Seed,
		"the `number` that settles which keys are asked for")
	flags.StringVar(&f.dir, "out", "",
		"write report.html, memory.svg, series.csv, tables.md and result.json into this `folder`")
	for _, name := range []string{"stores", "gogc", "limit", "limit-gogc"} {
		list := flags.Lookup(name)
		list.DefValue = flagText(list.Value)
	}
	flags.BoolVar(&f.check, "check", false, "exit with 1 if a check fails")
	return cmd
}

// plan is the configuration, checked.
func (f *memoryFlags) plan() (memload.Config, error) {
	c := f.config
	c.Limits, c.LimitGOGC = nil, nil
	if slices.Equal(f.limits, []string{"none"}) && f.flags.Changed("limit-gogc") {
		return c, refused(f.flags, "limit-gogc", "with --limit none no run has a limit")
	}
	for _, text := range f.limits {
		if text == "none" {
			if len(f.limits) > 1 {
				return c, errors.New("--limit: none and another")
			}
			break
		}
		l, err := parseLimit(text)
		if err != nil {
			return c, err
		}
		c.Limits = append(c.Limits, l)
	}
	for _, text := range f.limitGOGC {
		gogc := memload.Off
		if text != "off" {
			n, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return c, fmt.Errorf("--limit-gogc: %q: want a whole number, or off", text)
			}
			gogc = int(n) //nolint:gosec // 31 bits
		}
		c.LimitGOGC = append(c.LimitGOGC, gogc)
	}
	if err := c.Validate(); err != nil {
		return c, err
	}
	return c, nil
}

// parseLimit reads a value of --limit.
func parseLimit(text string) (l memload.Limit, err error) {
	if times, ok := strings.CutSuffix(text, "x"); ok {
		if l.Times, err = strconv.ParseFloat(times, 64); err != nil || l.Times == 0 {
			return l, fmt.Errorf("--limit: %q: want a multiple as 1.5x", text)
		}
		return l, nil
	}
	var n byteCount
	if err := n.Set(text); err != nil {
		return l, fmt.Errorf("--limit: %q: %w, a multiple as 1.5x, or none", text, err)
	}
	l.Bytes = int64(n) //nolint:gosec // below 2^62
	return l, nil
}

func (f *memoryFlags) run(cmd *cobra.Command, out *output) error {
	c, err := f.plan()
	if err != nil {
		return usage(err)
	}
	if err := reportFolder(f.dir); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.Command = []string{self, memoryCellCommand}
	line := out.progress()
	c.Progress = func(p memload.Progress) { showMemory(line, p) }
	line.Start("memory")
	began := time.Now()
	result, failed := memload.Execute(cmd.Context(), c)
	line.Done()
	if result == nil {
		return failed
	}
	o := &memoryOutput{
		Command: commandLine(cmd), Result: result, Environment: report.CurrentEnvironment(),
		Finding: result.Finding(), took: time.Since(began),
	}
	if f.check {
		o.Checks = result.Checks()
	}
	return out.conclude(o, f.dir, failed, result.Partial, o.Checks)
}

func showMemory(line *progress.Line, p memload.Progress) {
	line.Update(float64(p.Cell)/float64(max(p.Cells, 1)), p.What)
}

// memoryCellCommand is the name of the command that is a cell's process.
const memoryCellCommand = "memory-cell"

// newMemoryCell is one store of "cachebench memory". It is not for people.
func newMemoryCell() *cobra.Command {
	return &cobra.Command{
		Use:    memoryCellCommand,
		Short:  "One store with one setting, told by its standard input",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return memload.Serve(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// A memoryOutput is what "cachebench memory" prints and writes. Its JSON is that of --json and of
// result.json.
type memoryOutput struct {
	Command string `json:"command"`
	*memload.Result
	Environment report.Environment `json:"environment"`
	Finding     string             `json:"finding"`
	Checks      []report.Check     `json:"checks,omitempty"`
	Files       []string           `json:"files,omitempty"`

	took time.Duration
}

func (o *memoryOutput) writeText(w io.Writer) error {
	style := table.StyleFor(w)
	if err := o.Table().WriteText(w, style); err != nil {
		return err
	}
	return ending{strings.TrimSpace(o.Finding), o.Checks, o.Files, o.took, o.Seed}.write(w, style)
}

// writeFiles writes the files, the result last: it names the others.
func (o *memoryOutput) writeFiles(dir string) error {
	page := o.Report()
	page.Command, page.Environment, page.Checks = o.Command, o.Environment, o.Checks
	return writeReport(dir, &o.Files,
		reportFile{"report.html", page.WriteHTMLFile},
		reportFile{"memory.svg", page.Charts[0].WriteSVGFile},
		reportFile{"series.csv", page.WriteCSVFile},
		reportFile{"tables.md", func(path string) error { return writeText(path, o.Table().Markdown) }},
		resultFile(o),
	)
}
