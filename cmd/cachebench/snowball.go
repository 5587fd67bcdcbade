package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/progress"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/experiment/snowball"
)

// snowballFlags are the flags of "cachebench snowball".
type snowballFlags struct {
	fields *overrides // flags that stand for fields of a scenario

	scenario string
	fault    string
	keys     string
	dir      string
	stale    bool
	check    bool
}

func newSnowball(out *output) *cobra.Command {
	f := &snowballFlags{}
	cmd := &cobra.Command{
		Use:   "snowball",
		Short: "Show what one crashing fetch does to everyone else, with the fix off and on",
		Long: `Snowball runs an ingestion service in miniature. Events are offered at a steady
rate to a bounded queue (full: the event is dropped); a bounded pool of workers
takes them out; each event needs one key, which its worker fetches through the
cache from a simulated origin, with a time-out of its own. Within a window of
time the fetch function of a few keys goes wrong.

The very same events run twice, one run after the other: with the courier's fix
off (courier.WithUnlinked: a fetch that dies tells nobody) and with it on. That
is all that differs, unless callers of one key are limited in number
(--max-waiting-per-key, as --fault slow does): with the fix off they are not.
With --fault-rate 0 both runs come out alike.

With --stale the events run a third time, with the fix on and stale values: the
cache may give a value past its TTL (cache.Options.StaleFor) if the load fails, is
refused, or has not ended after --soft-timeout. So callers of failing keys get the
last good value instead of an error. All three runs begin with a value of each
failing key, and stale values live for as long as a run takes. A scenario asks
for it by cache.stale_for.

Without --scenario the run is the one that belongs to --fault, which is a file
in testdata/scenarios as well as a part of this program. Flags override its
fields.

Faults, all in the fetch function:
  panic    it panics
  goexit   it calls runtime.Goexit
  hang     it never returns, deaf to its context
  child    it waits for a linked goroutine, which panics
  slow     it takes longer; with the fix on one caller at a time waits for a key
  error    it returns an error, which any cache hands on: no difference is expected
  none     nothing goes wrong: no difference is expected

What the rows of the table say:
` + snowballRows() + `

With --check the result is held to what the scenario expects, and the exit code
is 1 if it does not show that. With --stale it must also show that no caller of a
failing key gets an error, that all are answered, and that 99 of 100 wait for the
soft time-out at most, and 50 ms for the machine's sake.`,
		Example: `  cachebench snowball
  cachebench snowball --stale --fault panic --check
  cachebench snowball --fault hang --check --out out/hang
  cachebench snowball --fault panic --rate 500 --workers 8 --timeout 5s
  cachebench snowball --fault-rate 0
  cachebench snowball --scenario testdata/scenarios/smoke.yaml --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, out) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.fields = newOverrides(flags)
	add := f.fields.add

	flags.StringVar(&f.scenario, "scenario", "",
		"read the run from this `file`; flags override its fields")
	flags.StringVar(&f.fault, "fault", "panic",
		"what goes wrong: `kind` is panic, goexit, error, hang, child, slow or none")
	flags.BoolVar(&f.stale, "stale", false,
		"run a third time, in which callers get stale values instead of errors")
	flags.BoolVar(&f.check, "check", false,
		"exit with 1 if the result is not what the scenario expects")
	flags.StringVar(&f.dir, "out", "",
		"write report.html, snowball.svg, series.csv and result.json into this `folder`")
	add("seed", "seed", "number", "1", "settles keys, latencies, sizes and faults")
	add("duration", "duration", "duration", "8s",
		"how long each run takes; the fault window keeps its place in proportion")
	add("rate", "events.rate", "per-second", "2000",
		"events offered per second, whether or not they are kept up with")
	add("workers", "events.workers", "n", "32", "the pool of workers")
	add("queue", "events.queue", "n", "512", "the queue before it, in events")
	add("timeout", "events.timeout", "duration", "2s", "a caller's own deadline for its key")
	flags.StringVar(&f.keys, "keys", "zipf:1.01",
		"which keys: `law` is zipf:SKEW, uniform, scan, zipf-scan:SKEW[,SHARE[,LENGTH]] or trace:PATH; "+
			"zipf:0.5 for slow")
	add("key-count", "keys.count", "n", "1000", "how many keys there are")
	add("ttl", "cache.ttl", "duration", "500ms",
		"how long an entry lives: only a key that is not cached can fail; 2s for slow")
	add("fetch-timeout", "cache.fetch_timeout", "duration", "250ms",
		"how long one fetch function may take, with the fix on; 100ms for hang, 1s for slow")
	add("max-waiting-per-key", "cache.max_waiting_per_key", "n", "0",
		"with the fix on, refuse callers at once where n wait for the load already; 0: no limit; 1 for "+
			"slow")
	add("soft-timeout", "cache.soft_timeout", "duration", "50ms",
		"with --stale: how long a caller waits for a load who can have a stale value")
	add("fault-keys", "fault.keys", "n", "5", "how many keys fail; 20 for slow")
	add("fault-share", "fault.share", "share", "0.05",
		"fail neighbours in popularity that get this part of all events; 0: the most popular")
	add("fault-rate", "fault.rate", "share", "1", "the part of their loads that fail")
	add("fault-start", "fault.start", "duration", "2s", "start of the fault window")
	add("fault-end", "fault.end", "duration", "5s", "end of the fault window")

	completeValues(cmd, "fault", snowball.Faults()...)
	completeValues(cmd, "keys", keyLaws...)
	completeScenario(cmd)
	completeOut(cmd)
	return cmd
}

// snowballRows explains the rows of the table.
func snowballRows() string {
	var terms [][2]string
	for _, term := range snowball.Glossary() {
		if term.Stale {
			term.Meaning = "with --stale: " + term.Meaning
		}
		terms = append(terms, [2]string{term.Row, term.Meaning})
	}
	return glossary(terms)
}

// glossary sets terms and their meanings below each other.
func glossary(terms [][2]string) string {
	const indent = "\n      "
	var rows []string
	for _, term := range terms {
		rows = append(rows, "  "+term[0]+indent+strings.ReplaceAll(wrapped(term[1], 74), "\n", indent))
	}
	return strings.Join(rows, "\n")
}

func (f *snowballFlags) run(cmd *cobra.Command, out *output) error {
	c, err := f.plan()
	if err != nil {
		return usage(err)
	}
	if err := reportFolder(f.dir); err != nil {
		return err
	}
	line := out.progress()
	c.Progress = func(p snowball.Progress) { showSnowball(line, p) }
	line.Start("snowball")
	began := time.Now()
	result, failed := snowball.Execute(cmd.Context(), c)
	line.Done()
	if result == nil {
		return failed
	}
	o, err := newSnowballOutput(cmd, c.Scenario, result, time.Since(began))
	if err != nil {
		return err
	}
	if f.check {
		o.Checks = result.Checks(c.Scenario)
	}
	return out.conclude(o, f.dir, failed, result.Partial, o.Checks)
}

// plan is the scenario with the flags in it, valid, and what it needs.
func (f *snowballFlags) plan() (snowball.Config, error) {
	s, err := f.merged()
	if err != nil {
		return snowball.Config{}, err
	}
	if err := snowball.Validate(s); err != nil {
		return snowball.Config{}, err
	}
	if f.check && s.Expect == (scenario.Expect{}) && s.Cache.StaleFor == 0 {
		return snowball.Config{}, fmt.Errorf("--check: scenario %s has no section expect to be held to",
			s.Name)
	}
	c := snowball.Config{Scenario: s}
	if path := s.TracePath(); path != "" {
		if c.Trace, err = snowballTrace(path); err != nil {
			return snowball.Config{}, err
		}
	}
	// What depends on several fields at once, or on the trace.
	if err := snowball.Prepare(c); err != nil {
		return snowball.Config{}, err
	}
	return c, nil
}

func showSnowball(line *progress.Line, p snowball.Progress) {
	line.Update(p.Part, fmt.Sprintf("fix %-5s  healthy %s, %s callers blocked, queue %s", p.Fix,
		human.Rate(p.Healthy), human.Count(int64(p.Blocked)), human.Count(int64(p.Queue))))
}
