package lab

import (
	"time"

	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/report"
)

// A Window is when something goes wrong within a run, from the run's beginning. It is a group of
// parameters.
type Window struct {
	Start time.Duration `name:"start" min:"0s" help:"when things begin to go wrong"`
	End   time.Duration `name:"end" min:"0s" help:"when that ends"`
}

// Scale gives the window the place in a run of that duration that it has in one that takes as
// long as usual, if only --duration was given. It begins after least at the earliest.
func (w *Window) Scale(s *params.Set, usual, duration, least time.Duration) {
	if !s.Given("duration") || s.Given("start") || s.Given("end") || usual <= 0 || duration <= 0 {
		return
	}
	scale := float64(duration) / float64(usual)
	length := time.Duration(float64(w.End-w.Start) * scale)
	w.Start = max(least, time.Duration(float64(w.Start)*scale).Round(time.Millisecond))
	w.End = min((w.Start + length).Round(time.Millisecond), duration)
	s.Derive("start", "end")
}

// Check holds the window to the rules that all windows have: it has a length, of at least least,
// and ends within the run.
func (w *Window) Check(c *params.Checker, duration, least time.Duration) {
	if least > 0 {
		c.Check(w.End-w.Start >= least, "end", "must be at least %v after %s (%v), got %v", least,
			c.Call("start"), w.Start, w.End)
	} else {
		c.Check(w.End > w.Start, "end", "must be after %s (%v), got %v", c.Call("start"), w.Start,
			w.End)
	}
	c.Check(w.End <= duration, "end", "must be at most %s (%v), got %v", c.Call("duration"), duration,
		w.End)
}

// Shaded returns the window as a chart shows it.
func (w *Window) Shaded(label string) report.Window {
	return report.Window{From: w.Start.Seconds(), To: w.End.Seconds(), Label: label}
}
