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
	// SoftTimeout is that of callers who can have a stale value, below Timeout, of faults that
	// end by it.
	SoftTimeout time.Duration
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
		return fmt.Errorf("faultmatrix: Config.Timeout: must be above FetchTimeout (%v), got %v",
			c.FetchTimeout, c.Timeout)
	case c.SoftTimeout <= 0:
		return fmt.Errorf("faultmatrix: Config.SoftTimeout: must be above 0, got %v", c.SoftTimeout)
	case c.SoftTimeout >= c.Timeout:
		return fmt.Errorf("faultmatrix: Config.SoftTimeout: must be below Timeout (%v), got %v",
			c.Timeout, c.SoftTimeout)
	case c.Timeout >= courier.DefaultTimeout:
		return fmt.Errorf("faultmatrix: Config.Timeout: must be below %v, got %v", courier.DefaultTimeout,
			c.Timeout)
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
	SoftTimeout  Seconds `json:"soft_timeout_seconds"`
	Interrupted  bool    `json:"interrupted"` // rows are missing
	Rows         []Row   `json:"rows"`
	// GoroutinesLeft is how many more goroutines there were some time after the
	// last trial than before the first.
	GoroutinesLeft int `json:"goroutines_left"`
}

// A Row is one fault, with the fix off, with it on, and with it on and a stale value there.
type Row struct {
	Fault string `json:"fault"`
	What  string `json:"what"` // in words
	Off   *Cell  `json:"off"`
	On    *Cell  `json:"on"`
	Stale *Cell  `json:"stale_value_there"`
}

// A setting is what a trial has of the fix.
type setting int

const (
	fixOff setting = iota
	fixOn
	staleThere // and the fix is on
	settings   // how many
)

func (s setting) String() string {
	return [...]string{"fix off", "fix on", "stale value there"}[s]
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

	// Of a trial with a stale value. SoftTimeout is 0 where callers wait until the load ends, and
	// longer than Config.SoftTimeout where that was over before all callers had come together.
	// FreshAfter is how long after the next caller one got a fresh value.
	SoftTimeout Seconds  `json:"soft_timeout_seconds,omitempty"`
	FreshAfter  *Seconds `json:"fresh_after_seconds,omitempty"` // nil: none did
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
		// the flight's time may be up just before the fault
		times = append(times, max(0, a.at.Sub(a.since)))
	}
	slices.Sort(times)
	c.Median, c.Max = Seconds(times[len(times)/2]), Seconds(times[len(times)-1])
	for kind, n := range counts {
		c.Saw = append(c.Saw, Seen{kind, n})
	}
	slices.SortFunc(c.Saw, func(a, b Seen) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Kind, b.Kind))
	})
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
		Callers: cfg.Callers, Timeout: Seconds(cfg.Timeout),
		FetchTimeout: Seconds(cfg.FetchTimeout), SoftTimeout: Seconds(cfg.SoftTimeout),
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
		var cells [settings]*Cell
		for s := range settings {
			if cells[s], err = observed(ctx, cfg, int(settings)*i+int(s), f, s); err != nil {
				return rows, err
			}
		}
		rows = append(rows, Row{
			Fault: f.name, What: f.what,
			Off: cells[fixOff], On: cells[fixOn], Stale: cells[staleThere],
		})
	}
	return rows, nil
}

// observed runs the trial with the given number.
func observed(ctx context.Context, cfg Config, number int, f *fault, s setting) (*Cell, error) {
	if cfg.Observe != nil {
		cfg.Observe(number, int(settings)*len(faults), fmt.Sprintf("%s, %s", f.name, s))
	}
	hurried := s == fixOn && f.waits || s == staleThere && f.soft()
	cell, err := runTrial(ctx, cfg, f, s)
	for range mostDoublings {
		if !errors.Is(err, errSetup) || !hurried {
			break
		}
		cfg.SoftTimeout *= 2
		cfg.FetchTimeout *= 2
		cfg.Timeout *= 2
		cell, err = runTrial(ctx, cfg, f, s)
	}
	return cell, err
}

// mostDoublings is how often a time-out is doubled for the callers to come together
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
// caller's own deadline, but for the first wave where callers keep coming. With a
// stale value there, that must be what callers get instead of an error. How long that took is
// the machine's doing too, and so no matter. The errors name the fault.
func (m *Matrix) Problems() []error {
	var problems []error
	for _, row := range m.Rows {
		for i := range faults {
			if faults[i].name != row.Fault {
				continue
			}
			for _, text := range row.On.problems(&faults[i], m.Callers) {
				problems = append(problems, fmt.Errorf("%s, %s: %s", row.Fault, fixOn, text))
			}
			for _, text := range row.Stale.staleProblems(&faults[i], m.Callers) {
				problems = append(problems, fmt.Errorf("%s, %s: %s", row.Fault, staleThere, text))
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
	texts := c.otherKinds(f.want(callers))
	if c.Next.Kind != verdict.Value || c.Next.Value != f.wantNext {
		texts = append(texts, fmt.Sprintf("the next caller got %q, want %q", c.Next.text(), f.wantNext))
	}
	return append(texts, c.otherLoads(f.wantLoads)...)
}

// otherLoads is what is wrong with the number of loads.
func (c *Cell) otherLoads(want int) []string {
	if c.Loads == want {
		return nil
	}
	return []string{fmt.Sprintf("%d loads, want %d", c.Loads, want)}
}

// text is what the caller got, in short.
func (n Next) text() string {
	if n.Value != "" {
		return n.Value
	}
	return string(n.Kind)
}

// otherKinds is what is wrong with what the callers were told, who were to be told what is missing.
func (c *Cell) otherKinds(missing map[verdict.Kind]int) []string {
	var texts []string
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
	return texts
}
