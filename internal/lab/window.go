package lab

import (
	"time"

	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/report"
)

// A Window is the time of a fault or disturbance, from the start of the run. It is a group of
// parameters.
type Window struct {
	Start time.Duration `name:"start" min:"0s" help:"when things begin to go wrong"`
	End   time.Duration `name:"end" min:"0s" help:"when that ends"`
}

// Scale scales a window made for a run of the usual duration to one of the given duration, if only
// --duration was given. The window begins after least at the earliest.
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

// Check checks the rules for all windows: the window is at least least long, and ends within the
// run.
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

// Shaded returns the window for a chart.
func (w *Window) Shaded(label string) report.Window {
	return report.Window{From: w.Start.Seconds(), To: w.End.Seconds(), Label: label}
}
