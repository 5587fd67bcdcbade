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
	"github.com/snowfence/snowfence/internal/lab/sample"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/verdict"
)

// A Matrix holds the results of all trials, or of those before one that failed.
type Matrix struct {
	Rows []Row `json:"rows"` // fewer if the run was stopped
	// GoroutinesLeft is the number of goroutines after the last trial, when they had time to end,
	// minus those before the first.
	GoroutinesLeft int `json:"goroutines_left"`
}

// A Row is one fault: with the fix off, with it on, and with it on and a stale value.
type Row struct {
	Fault string `json:"fault"`
	What  string `json:"what"` // a description
	Off   *Cell  `json:"off"`
	On    *Cell  `json:"on"`
	Stale *Cell  `json:"stale_value_there"`
}

// A setting selects the fix, and a stale value, for a trial.
type setting int

const (
	fixOff setting = iota
	fixOn
	staleValue // with the fix on
	settings   // their number
)

func (s setting) String() string {
	return [...]string{"fix off", "fix on", "stale value there"}[s]
}

// A Cell is one trial.
type Cell struct {
	Fault string `json:"-"`
	FixOn bool   `json:"fix_on"`
	Saw   []Seen `json:"callers_saw"` // the most frequent first, then by name
	// Median and Max are the times from the fault, or from the call where callers keep coming,
	// until the callers had their outcomes.
	Median measured.Value `json:"median_seconds"`
	Max    measured.Value `json:"max_seconds"`
	Next   Next           `json:"next_caller"`
	Loads  int            `json:"loads"` // fetch functions called, for all callers
	// FetchTimeout is the flight's time-out; 0: none is set. It is longer than Params.FetchTimeout
	// if that passed before all callers had come together.
	FetchTimeout measured.Value `json:"fetch_timeout_seconds"`

	// These are set in a trial with a stale value. SoftTimeout is 0 if callers wait until the load
	// ends. It is longer than Params.SoftTimeout if that passed before all callers had come
	// together. FreshAfter is the time from the next caller until one got a fresh value.
	SoftTimeout measured.Value  `json:"soft_timeout_seconds,omitempty"`
	FreshAfter  *measured.Value `json:"fresh_after_seconds,omitempty"` // nil: none did
}

// Seen is the number of callers with the same outcome.
type Seen struct {
	Kind  verdict.Kind `json:"kind"`
	Count int          `json:"count"`
}

// Next is the outcome of the caller that comes afterwards.
type Next struct {
	Kind  verdict.Kind   `json:"kind"`
	Value string         `json:"value,omitempty"`
	Took  measured.Value `json:"took_seconds"`
}

// callers summarises the outcomes of the callers.
func (c *Cell) callers(answers []answer) {
	var times []time.Duration
	counts := make(map[verdict.Kind]int)
	for _, a := range answers {
		counts[a.kind]++
		// The flight's time-out may pass just before the fault.
		times = append(times, max(0, a.at.Sub(a.since)))
	}
	slices.Sort(times)
	c.Median, c.Max = measured.Of(times[len(times)/2]), measured.Of(times[len(times)-1])
	for kind, n := range counts {
		c.Saw = append(c.Saw, Seen{kind, n})
	}
	slices.SortFunc(c.Saw, func(a, b Seen) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Kind, b.Kind))
	})
}

// Run runs all trials. It blocks for some seconds: twice Params.Timeout for each trial in which
// callers wait for their deadlines. If ctx ends before, the matrix has fewer rows. If a trial
// fails, the matrix has the rows before it.
func Run(ctx context.Context, p *Params, e lab.Env) (*Matrix, error) {
	before := runtime.NumGoroutine()
	rows, err := trials(ctx, *p, e)
	m := &Matrix{Rows: rows, GoroutinesLeft: sample.GoroutinesLeft(before)}
	if ctx.Err() != nil {
		err = nil // it comes from the interruption
	}
	return m, err
}

// trials runs the trials, and returns the rows until the first error.
func trials(ctx context.Context, cfg Params, e lab.Env) (rows []Row, err error) {
	for i := range faults {
		f := &faults[i]
		var cells [settings]*Cell
		for s := range settings {
			if e.Progress != nil {
				e.Progress(float64(int(settings)*i+int(s))/float64(int(settings)*len(faults)),
					fmt.Sprintf("%s, %s", f.name, s))
			}
			if cells[s], err = runTogether(ctx, cfg, f, s); err != nil {
				return rows, err
			}
		}
		rows = append(rows, Row{
			Fault: f.name, What: f.what,
			Off: cells[fixOff], On: cells[fixOn], Stale: cells[staleValue],
		})
	}
	return rows, nil
}

// runTogether runs a trial, and repeats it with longer time-outs if the callers did not come
// together.
func runTogether(ctx context.Context, cfg Params, f *fault, s setting) (*Cell, error) {
	hurried := s == fixOn && f.waits || s == staleValue && f.soft()
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

// mostDoublings bounds the doublings of a time-out until the callers come together within it. The
// number needed depends on the machine and on the number of callers.
const mostDoublings = 8

// untried is the detail of the check of a fault that a run did not get to.
const untried = "it was not tried"

// Checks returns the checks of the cells with the fix on; their names contain the fault. Callers
// must get the value or the error of the fault, and must not wait for their own deadlines, except
// the first wave where callers keep coming. With a stale value, they must get it instead of an
// error. Times are not checked, because they depend on the machine.
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
			add(f.name, "", []string{untried})
			continue
		}
		row := m.Rows[at]
		add(fmt.Sprintf("%s, %s", f.name, fixOn), row.On.seen(), row.On.problems(f, p.Callers))
		add(fmt.Sprintf("%s, %s", f.name, staleValue), row.Stale.seen(),
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
	texts := c.wrongKinds(f.want(callers))
	if c.Next.Kind != verdict.Value || c.Next.Value != f.wantNext {
		texts = append(texts,
			fmt.Sprintf("the next caller got %q, wanted: %q", c.Next.text(), f.wantNext))
	}
	return append(texts, c.wrongLoads(f.wantLoads)...)
}

// wrongLoads returns the problem with the number of loads, if any.
func (c *Cell) wrongLoads(want int) []string {
	if c.Loads == want {
		return nil
	}
	return []string{fmt.Sprintf("%d loads, wanted: %d", c.Loads, want)}
}

// text returns the value, or else the kind of the caller's outcome.
func (n Next) text() string {
	if n.Value != "" {
		return n.Value
	}
	return string(n.Kind)
}

// wrongKinds returns the problems with the outcomes of the callers. missing holds the wanted
// outcomes; wrongKinds modifies it.
func (c *Cell) wrongKinds(missing map[verdict.Kind]int) []string {
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
