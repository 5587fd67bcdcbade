package clusterload

import (
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/scenario"
)

// Config is what Execute needs.
type Config struct {
	Scenario *scenario.Scenario

	// Command is the command line of a node's process, which must run [Serve]. It is needed where the
	// scenario has its nodes in processes of their own.
	Command []string

	// Progress is called some times per second, by one goroutine at a time. It may be nil and must not
	// block.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Run, Runs  int // this one, from 0, and how many there are
	Partitions int
	Doing      string        // what the run is at
	Elapsed    time.Duration // of the run's load
	Duration   time.Duration
	Names      int
	Behind     int // views
	Queue      int
}

// What a run is at.
const (
	Starting = "starting"
	Filling  = "filling" // registers the names that are there from the start
	Running  = "running"
	Settling = "settling"
)

// Limits of what can be measured.
const (
	minDuration = 500 * time.Millisecond
	minWindow   = 100 * time.Millisecond
)

// Validate returns everything that keeps a valid scenario from being run, each as a
// *scenario.FieldError.
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
	check(s.Kind == scenario.KindRegistry, "kind",
		"must be registry, got %s: this is not the scenario of a registry", s.Kind)
	check(s.Duration >= minDuration, "duration", "must be at least %v to be measured, got %v",
		minDuration, s.Duration)
	check(s.Disturb.End-s.Disturb.Start >= minWindow, "disturb.end",
		"must be at least %v after %s (%v), got %v", minWindow, s.NameOf("disturb.start"),
		s.Disturb.Start, s.Disturb.End)
	return errors.Join(errs...)
}
