package faultmatrix

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/verdict"
)

// Config is how a matrix is made.
type Config struct {
	Callers int // who wait for one load, at least 2
	// Timeout is a caller's own deadline, from when the fault strikes or, where callers keep
	// coming, from its call. It is below courier.DefaultTimeout, which holds there.
	Timeout      time.Duration
	FetchTimeout time.Duration // the flight's, below Timeout, of faults that end by it
	// Observe is called before each trial with its number, how many there are,
	// and what it is. Nil means nobody looks.
	Observe func(done, all int, what string)
}

func (c Config) validate() error {
	switch {
	case c.Callers < 2:
		return fmt.Errorf("faultmatrix: Config.Callers: must be at least 2, got %d", c.Callers)
	case c.FetchTimeout <= 0:
		return fmt.Errorf("faultmatrix: Config.FetchTimeout: must be above 0, got %v", c.FetchTimeout)
	case c.Timeout <= c.FetchTimeout:
		return fmt.Errorf("faultmatrix: Config.Timeout: must be above FetchTimeout (%v), got %v", c.FetchTimeout, c.Timeout)
	case c.Timeout >= courier.DefaultTimeout:
		return fmt.Errorf("faultmatrix: Config.Timeout: must be below %v, got %v", courier.DefaultTimeout, c.Timeout)
	}
	return nil
}

// Seconds is a duration that JSON has as a number of seconds.
type Seconds time.Duration

// MarshalJSON writes seconds.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// Duration is s.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// A Matrix is the outcome of all trials, or of those until one failed.
type Matrix struct {
	Callers      int     `json:"callers"`
	Timeout      Seconds `json:"timeout_seconds"`
	FetchTimeout Seconds `json:"fetch_timeout_seconds"`
	Interrupted  bool    `json:"interrupted"` // rows are missing
	Rows         []Row   `json:"rows"`
	// GoroutinesLeft is how many more goroutines there were some time after the
	// last trial than before the first.
	GoroutinesLeft int `json:"goroutines_left"`
}

// A Row is one fault, with the fix off and on.
type Row struct {
	Fault string `json:"fault"`
	What  string `json:"what"` // in words
	Off   *Cell  `json:"off"`
	On    *Cell  `json:"on"`
}

// A Cell is one trial.
type Cell struct {
	Fault string `json:"-"`
	FixOn bool   `json:"fix_on"`
	Saw   []Seen `json:"callers_saw"` // the most frequent first, then by name
	// Median and Max are how long after the fault struck the callers knew or, where
	// callers keep coming, after their calls.
	Median Seconds `json:"median_seconds"`
	Max    Seconds `json:"max_seconds"`
	Next   Next    `json:"next_caller"`
	Loads  int     `json:"loads"` // fetch functions called, for all callers
	// FetchTimeout is the flight's; 0: none is given. It is longer than Config.FetchTimeout
	// where that was over before all callers had come together.
	FetchTimeout Seconds `json:"fetch_timeout_seconds"`
}

// Seen is how many callers were told the same.
type Seen struct {
	Kind  verdict.Kind `json:"kind"`
	Count int          `json:"count"`
}

// Next is what the caller saw who came afterwards.
type Next struct {
	Kind  verdict.Kind `json:"kind"`
	Value string       `json:"value,omitempty"`
	Took  Seconds      `json:"took_seconds"`
}

// callers sums up what the callers were told.
func (c *Cell) callers(answers []told) {
	var times []time.Duration
	counts := make(map[verdict.Kind]int)
	for _, a := range answers {
		counts[a.kind]++
		times = append(times, max(0, a.at.Sub(a.since))) // the flight's time may be up just before the fault
	}
	slices.Sort(times)
	c.Median, c.Max = Seconds(times[len(times)/2]), Seconds(times[len(times)-1])
	for kind, n := range counts {
		c.Saw = append(c.Saw, Seen{kind, n})
	}
	slices.SortFunc(c.Saw, func(a, b Seen) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Kind, b.Kind)) })
}

// Run makes the matrix. It blocks for some seconds: for each trial in which
// callers wait for their deadlines, twice Config.Timeout. If ctx ends before,
// the matrix has fewer rows and says so. An error with a matrix is about the trial
// after its last row.
func Run(ctx context.Context, cfg Config) (*Matrix, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	before := runtime.NumGoroutine()
	rows, err := trials(ctx, cfg)
	m := &Matrix{
		Callers: cfg.Callers, Timeout: Seconds(cfg.Timeout), FetchTimeout: Seconds(cfg.FetchTimeout),
		Interrupted: ctx.Err() != nil, Rows: rows, GoroutinesLeft: goroutinesLeft(before),
	}
	if ctx.Err() != nil {
		err = nil // it is the interruption's
	}
	return m, err
}

// trials returns the rows that were done, and why not all were.
func trials(ctx context.Context, cfg Config) (rows []Row, err error) {
	for i := range faults {
		f := &faults[i]
		row := Row{Fault: f.name, What: f.what}
		if row.Off, err = observed(ctx, cfg, 2*i, f, false); err != nil {
			return rows, err
		}
		if row.On, err = observed(ctx, cfg, 2*i+1, f, true); err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// observed runs the trial with the given number.
func observed(ctx context.Context, cfg Config, number int, f *fault, fixOn bool) (*Cell, error) {
	if cfg.Observe != nil {
		what := f.name + ", fix off"
		if fixOn {
			what = f.name + ", fix on"
		}
		cfg.Observe(number, 2*len(faults), what)
	}
	cell, err := runTrial(ctx, cfg, f, fixOn)
	for range mostDoublings {
		if !errors.Is(err, errSetup) || !fixOn || !f.waits {
			break
		}
		cfg.FetchTimeout, cfg.Timeout = 2*cfg.FetchTimeout, 2*cfg.Timeout
		cell, err = runTrial(ctx, cfg, f, fixOn)
	}
	return cell, err
}

// mostDoublings is how often a flight's time-out is doubled for the callers to come together
// within it, which depends on the machine and on how many they are.
const mostDoublings = 8

// goroutinesLeft gives goroutines that have done their work a moment to end.
func goroutinesLeft(before int) int {
	const looks, look = 1000, time.Millisecond
	for range looks {
		if runtime.NumGoroutine() <= before {
			return 0
		}
		time.Sleep(look) // in which they get to run, however busy the machine
	}
	return max(0, goroutines()-before)
}

// goroutines is exact, where runtime.NumGoroutine, which stops nothing to
// count, may still see one that has just ended.
func goroutines() int {
	for room := 2 * runtime.NumGoroutine(); ; room *= 2 {
		if n, ok := runtime.GoroutineProfile(make([]runtime.StackRecord, room)); ok {
			return n
		}
	}
}

// Problems returns what is wrong with the cells in which the fix was on: each
// must be the value or the error that the fault brings, and never a wait for the
// caller's own deadline, but for the first wave where callers keep coming. How long that took is the machine's doing too, and so no
// matter. The errors name the fault.
func (m *Matrix) Problems() []error {
	var problems []error
	for _, row := range m.Rows {
		for i := range faults {
			if faults[i].name == row.Fault && row.On != nil {
				for _, text := range row.On.problems(&faults[i], m.Callers) {
					problems = append(problems, fmt.Errorf("%s, fix on: %s", row.Fault, text))
				}
			}
		}
	}
	if m.GoroutinesLeft > 0 {
		problems = append(problems, fmt.Errorf("%d goroutines were left", m.GoroutinesLeft))
	}
	switch {
	case m.Interrupted:
		problems = append(problems, errors.New("interrupted: rows are missing"))
	case len(m.Rows) < len(faults):
		problems = append(problems, errors.New("rows are missing"))
	}
	return problems
}

func (c *Cell) problems(f *fault, callers int) []string {
	var texts []string
	missing := f.want(callers)
	for _, seen := range c.Saw {
		missing[seen.Kind] -= seen.Count
	}
	var instead []string
	for _, kind := range slices.Sorted(maps.Keys(missing)) {
		if missing[kind] > 0 {
			instead = append(instead, string(kind))
		}
	}
	for _, seen := range c.Saw {
		if n := -missing[seen.Kind]; n > 0 {
			texts = append(texts, fmt.Sprintf("%d callers too many saw %s instead of %s",
				n, seen.Kind, strings.Join(instead, " or ")))
		}
	}
	if c.Next.Kind != verdict.Value || c.Next.Value != f.wantNext {
		got := string(c.Next.Kind)
		if c.Next.Kind == verdict.Value {
			got = c.Next.Value
		}
		texts = append(texts, fmt.Sprintf("the next caller got %q, want %q", got, f.wantNext))
	}
	if c.Loads != f.wantLoads {
		texts = append(texts, fmt.Sprintf("%d loads, want %d", c.Loads, f.wantLoads))
	}
	return texts
}
