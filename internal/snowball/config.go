package snowball

import (
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/scenario"
)

// Config is what Execute needs.
type Config struct {
	Scenario *scenario.Scenario

	// Trace is the requests of the scenario's trace, nil for other kinds of keys.
	Trace []uint32

	// Progress is called about every 50 ms, by one goroutine at a time. It may
	// be nil and must not block.
	Progress func(Progress)
}

// Progress is how far the runs are.
type Progress struct {
	Fix      Fix
	Part     float64       // of all runs together
	Elapsed  time.Duration // of this run
	Duration time.Duration // of one run
	Healthy  float64       // healthy events per second, of late
	Blocked  int           // callers that wait in the cache
	Queue    int
}

// Validate returns everything that keeps a valid scenario from being run as a
// snowball, each as a *scenario.FieldError.
func Validate(s *scenario.Scenario) error {
	if err := s.Validate(); err != nil {
		return err
	}
	var errs []error
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			errs = append(errs, s.FieldError(field, fmt.Sprintf(format, args...)))
		}
	}
	check(s.Kind == scenario.KindCache, "kind",
		"must be cache, got %s: the snowball is no scenario of that kind", s.Kind)
	check(s.Events.Rate > 0, "events.rate",
		"must be above 0: the snowball offers events at a steady rate")
	check(s.Events.Until == 0, "events.until",
		"must be 0s: the snowball offers events until its end, got %v", s.Events.Until)
	check(s.Mix.Write == 0, "mix.write", "must be 0: every event of the snowball is a fetch, got %d",
		s.Mix.Write)
	check(s.Mix.Delete == 0, "mix.delete", "must be 0: every event of the snowball is a fetch, got %d",
		s.Mix.Delete)
	check(s.Events.Batch == 1, "events.batch",
		"must be 1: every event of the snowball is for one key, got %d", s.Events.Batch)
	if s.Cache.StaleFor > 0 {
		checkStale(s, check)
	}
	check(s.Duration >= minDuration, "duration", "must be at least %v to be measured, got %v",
		minDuration, s.Duration)
	check(s.Fault.Start >= minDuration/4, "fault.start",
		"must be at least %v: what was before is compared with, got %v", minDuration/4, s.Fault.Start)
	check(s.Fault.End-s.Fault.Start >= minDuration/4, "fault.end",
		"must be at least %v after %s (%v), got %v",
		minDuration/4, s.NameOf("fault.start"), s.Fault.Start, s.Fault.End)
	check(s.Fault.End <= s.Duration, "fault.end", "must be at most %s (%v), got %v",
		s.NameOf("duration"), s.Duration, s.Fault.End)
	return errors.Join(errs...)
}

// checkStale checks a scenario with stale values.
func checkStale(s *scenario.Scenario, check func(ok bool, field, format string, args ...any)) {
	c, window := s.Cache, s.Fault.End-s.Fault.Start
	check(c.StaleFor >= window, "cache.stale_for",
		"must be at least as long as the fault window (%v), got %v", window, c.StaleFor)
	check(c.TTL < s.Fault.End, "cache.ttl",
		"must be below %s (%v), or no value is stale by then, got %v",
		s.NameOf("fault.end"), s.Fault.End, c.TTL)
	check(c.SoftTimeout > 0, "cache.soft_timeout",
		"must be above 0s: callers would wait for loads that hang, got %v", c.SoftTimeout)
	check(c.SoftTimeout < s.Events.Timeout, "cache.soft_timeout",
		"must be below %s (%v), after which callers leave, got %v",
		s.NameOf("events.timeout"), s.Events.Timeout, c.SoftTimeout)
}

// minDuration is the shortest run of which a few samples fall into each phase.
const minDuration = 800 * time.Millisecond

// lineOf returns the phases of a run. Until half of the time before the fault the cache fills.
func lineOf(s *scenario.Scenario) phase.Line {
	return phase.Line{Before: s.Fault.Start / 2, Start: s.Fault.Start, End: s.Fault.End,
		Stop: s.Duration}
}
