package snowball

import "time"

// The phases of a run.
type phase int

const (
	warming phase = iota // the cache fills; not compared with
	before
	inside // the fault window
	after
	phases
)

// timeline says which phase is when, since the start of a run.
type timeline struct {
	settled, start, end, stop time.Duration
}

func timelineOf(p *Params) timeline {
	return timeline{settled: p.Start / 2, start: p.Start, end: p.End, stop: p.Duration}
}

func (l timeline) at(t time.Duration) phase {
	switch {
	case t < l.settled:
		return warming
	case t < l.start:
		return before
	case t < l.end:
		return inside
	}
	return after
}

// length is how long a phase of a run lasted that ended at ran.
func (l timeline) length(p phase, ran time.Duration) time.Duration {
	from := [phases]time.Duration{0, l.settled, l.start, l.end}[p]
	to := [phases]time.Duration{l.settled, l.start, l.end, l.stop}[p]
	return max(0, min(to, ran)-from)
}
