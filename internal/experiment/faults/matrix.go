package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/verdict"
)

// A Matrix is the outcome of all trials, or of those until one failed.
type Matrix struct {
	Rows []Row `json:"rows"` // fewer if the run was stopped
	// GoroutinesLeft is how many more goroutines there were some time after the
	// last trial than before the first.
	GoroutinesLeft int `json:"goroutines_left"`
}

func seconds(d time.Duration) measured.Value { return measured.Value(d.Seconds()) }

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
	Median measured.Value `json:"median_seconds"`
	Max    measured.Value `json:"max_seconds"`
	Next   Next           `json:"next_caller"`
	Loads  int            `json:"loads"` // fetch functions called, for all callers
	// FetchTimeout is the flight's; 0: none is given. It is longer than Params.FetchTimeout
	// where that was over before all callers had come together.
	FetchTimeout measured.Value `json:"fetch_timeout_seconds"`

	// Of a trial with a stale value. SoftTimeout is 0 where callers wait until the load ends, and
	// longer than Params.SoftTimeout where that was over before all callers had come together.
	// FreshAfter is how long after the next caller one got a fresh value.
	SoftTimeout measured.Value  `json:"soft_timeout_seconds,omitempty"`
	FreshAfter  *measured.Value `json:"fresh_after_seconds,omitempty"` // nil: none did
}

// Seen is how many callers were told the same.
type Seen struct {
	Kind  verdict.Kind `json:"kind"`
	Count int          `json:"count"`
}

// Next is what the caller saw who came afterwards.
type Next struct {
	Kind  verdict.Kind   `json:"kind"`
	Value string         `json:"value,omitempty"`
	Took  measured.Value `json:"took_seconds"`
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
	c.Median, c.Max = seconds(times[len(times)/2]), seconds(times[len(times)-1])
	for kind, n := range counts {
		c.Saw = append(c.Saw, Seen{kind, n})
	}
	slices.SortFunc(c.Saw, func(a, b Seen) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Kind, b.Kind))
	})
}

// Run makes the matrix. It blocks for some seconds: for each trial in which
// callers wait for their deadlines, twice Params.Timeout. If ctx ends before,
// the matrix has fewer rows. An error with a matrix is about the trial
// after its last row.
func Run(ctx context.Context, p *Params, e lab.Env) (*Matrix, error) {
	before := runtime.NumGoroutine()
	rows, err := trials(ctx, *p, e)
	m := &Matrix{Rows: rows, GoroutinesLeft: goroutinesLeft(before)}
	if ctx.Err() != nil {
		err = nil // it is the interruption's
	}
	return m, err
}

// trials returns the rows that were done, and why not all were.
func trials(ctx context.Context, cfg Params, e lab.Env) (rows []Row, err error) {
	for i := range faults {
		f := &faults[i]
		var cells [settings]*Cell
		for s := range settings {
			if e.Progress != nil {
				e.Progress(float64(int(settings)*i+int(s))/float64(int(settings)*len(faults)),
					fmt.Sprintf("%s, %s", f.name, s))
			}
			if cells[s], err = patiently(ctx, cfg, f, s); err != nil {
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

// patiently runs a trial, again with longer time-outs if the callers did not come together.
func patiently(ctx context.Context, cfg Params, f *fault, s setting) (*Cell, error) {
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

// Checks holds each cell in which the fix was on to what it must be:
// the value or the error that the fault brings, and never a wait for the
// caller's own deadline, but for the first wave where callers keep coming. With a
// stale value there, that must be what callers get instead of an error. How long that took is
// the machine's doing too, and so no matter. The checks name the fault.
func (m *Matrix) Checks(p *Params) []report.Check {
	var checks []report.Check
	add := func(name, seen string, problems []string) {
		c := report.Check{Name: name, OK: len(problems) == 0, Detail: seen}
		if !c.OK {
			c.Detail = strings.Join(problems, "; ")
		}
		checks = append(checks, c)
	}
	for i := range faults {
		f := &faults[i]
		at := slices.IndexFunc(m.Rows, func(r Row) bool { return r.Fault == f.name })
		if at < 0 {
			add(f.name, "", []string{"it was not tried"})
			continue
		}
		row := m.Rows[at]
		add(fmt.Sprintf("%s, %s", f.name, fixOn), row.On.seen(), row.On.problems(f, p.Callers))
		add(fmt.Sprintf("%s, %s", f.name, staleThere), row.Stale.seen(),
			row.Stale.staleProblems(f, p.Callers))
	}
	var left []string
	if m.GoroutinesLeft > 0 {
		left = []string{fmt.Sprintf("%d goroutines were left", m.GoroutinesLeft)}
	}
	add("no goroutine is left", "0 were left", left)
	return checks
}

// seen returns what the callers got, and the next one.
func (c *Cell) seen() string { return saw(c) + "; the next caller: " + saw1(c.Next) }

func (c *Cell) problems(f *fault, callers int) []string {
	texts := c.otherKinds(f.want(callers))
	if c.Next.Kind != verdict.Value || c.Next.Value != f.wantNext {
		texts = append(texts,
			fmt.Sprintf("the next caller got %q, wanted: %q", c.Next.text(), f.wantNext))
	}
	return append(texts, c.otherLoads(f.wantLoads)...)
}

// otherLoads is what is wrong with the number of loads.
func (c *Cell) otherLoads(want int) []string {
	if c.Loads == want {
		return nil
	}
	return []string{fmt.Sprintf("%d loads, wanted: %d", c.Loads, want)}
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
