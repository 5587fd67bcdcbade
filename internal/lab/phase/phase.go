// Package phase splits a run into what is before, during and after the window of a fault or a
// disturbance.
package phase

import "time"

// A Phase is a part of a run.
type Phase int

// The phases.
const (
	Setup Phase = iota // until the run counts: names are registered, caches fill
	Before
	During
	After
	Count // how many there are
)

// A Line says when the phases of a run begin, and when After ends.
type Line struct{ Before, Start, End, Stop time.Duration }

// At returns the phase that a time of the run falls into.
func (l Line) At(t time.Duration) Phase {
	switch {
	case t < l.Before:
		return Setup
	case t < l.Start:
		return Before
	case t < l.End:
		return During
	}
	return After
}

// Length returns how long a phase lasted in a run that ended at ran. Setup begins at 0.
func (l Line) Length(p Phase, ran time.Duration) time.Duration {
	ends := [...]time.Duration{0, l.Before, l.Start, l.End, l.Stop}
	return max(0, min(ends[p+1], ran)-ends[p])
}
