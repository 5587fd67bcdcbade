package clusterload

import (
	"time"

	"github.com/snowfence/snowfence/internal/scenario"
)

// The phases of a run.
type phase int

const (
	setup phase = iota // before the run: the names that are there from the start
	before
	during // the window
	after
	phases
)

// A timeline says which phase is when. Times are since the start of the run; what comes before it
// is negative.
type timeline struct {
	start, end, stop time.Duration // of the window, and of the load
}

func timelineOf(s *scenario.Scenario) timeline {
	return timeline{start: s.Disturb.Start, end: s.Disturb.End, stop: s.Duration}
}

func (l timeline) at(t time.Duration) phase {
	switch {
	case t < 0:
		return setup
	case t < l.start:
		return before
	case t < l.end:
		return during
	}
	return after
}

// patience is how long the cluster may take to agree after the load, at the least.
const patience = 15 * time.Second
