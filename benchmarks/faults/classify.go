package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// An outcome is the kind of result of a caller.
type outcome string

const (
	hangs     outcome = "hang"      // it did not return
	killed    outcome = "killed"    // its goroutine was ended
	panicked  outcome = "panic"     // a panic, in its goroutine
	zeroValue outcome = "zero"      // no value and no error
	cancelled outcome = "cancelled" // another caller's cancellation
	late      outcome = "deadline"  // an error at its deadline
	failed    outcome = "error"     // another error
	value     outcome = "value"
)

// outcomes are all outcomes, the worst first.
var outcomes = []outcome{hangs, killed, panicked, zeroValue, cancelled, late, failed, value}

// outcomeOf returns the outcome of a fetch with ctx that returned v and err. The error of another
// caller's deadline counts as late, too: all callers have the same deadline, and which passes first
// is random.
func outcomeOf(ctx context.Context, v string, err error) outcome {
	_, hasDeadline := ctx.Deadline()
	switch {
	case err == nil && v == "":
		return zeroValue
	case err == nil:
		return value
	case hasDeadline && errors.Is(err, context.DeadlineExceeded):
		return late
	case errors.Is(err, context.Canceled):
		return cancelled
	}
	return failed
}

// A fate is the way a cell's process ended.
type fate string

const (
	survives fate = ""
	dies     fate = "dies"
	silent   fate = "no answer" // it was killed at its time-out
	broken   fate = "broken"    // it could not run the trial; no result about the library
)

// atOnce is the longest time that counts as at once, even on a busy machine.
const atOnce = time.Second

// An observation holds the results of one cell.
type observation struct {
	// Unsupported is set if the library has no such call, so that there is no result.
	Unsupported bool `json:"unsupported,omitempty"`
	// Process is the fate of the process. Unless it survives, the only other result is Message, the
	// first line that the process wrote when it died.
	Process fate   `json:"process,omitempty"`
	Message string `json:"message,omitempty"`

	Outcomes map[outcome]int           `json:"outcomes,omitempty"` // callers
	Took     map[outcome]time.Duration `json:"took_ns,omitempty"`  // the longest, since the fault

	Loads     int     `json:"loads,omitempty"`       // with the next caller's, if it needed one
	Next      outcome `json:"next_caller,omitempty"` // of a caller that came afterwards
	NextValue string  `json:"next_value,omitempty"`  // its value: oldValue, newValue or setValue
}

// all reports whether every caller had that outcome.
func (s observation) all(o outcome) bool { return len(s.Outcomes) == 1 && s.Outcomes[o] > 0 }

// works reports whether the key works again.
func (s observation) works() bool { return s.Next == value }

// stored describes the value in the cache after the load, if the key was deleted or set meanwhile,
// or returns "" if another result matters more.
func (s observation) stored(f fault) string {
	switch {
	case !f.deletes && !f.sets || !s.all(value) || !s.works():
		return ""
	case f.deletes && s.NextValue == oldValue:
		return "stale"
	case f.deletes:
		return "fresh"
	case s.NextValue == setValue:
		return "kept"
	}
	return "lost"
}

// brief returns the observation in a few characters, for a table.
func (s observation) brief(f fault) string {
	switch {
	case s.Unsupported && f.deletes:
		return "no Delete"
	case s.Unsupported:
		return "no Set"
	case s.Process != survives:
		return string(s.Process)
	}
	dagger := ""
	if !s.works() {
		dagger = " †"
	}
	if stored := s.stored(f); stored != "" {
		return stored
	}
	if f.spread {
		callers := 0
		for _, n := range s.Outcomes {
			callers += n
		}
		return fmt.Sprintf("%d of %d", s.Outcomes[value], callers) + dagger
	}
	if s.all(value) && s.NextValue == newValue { // which the first load does not give
		return fmt.Sprintf("%d loads", s.Loads) + dagger
	}
	var parts []string
	for _, o := range outcomes {
		n, delay := s.Outcomes[o], s.delay(o)
		switch {
		case s.all(o):
			return string(o) + delay + dagger
		case n > 0 && (o != failed && o != value || delay != ""):
			parts = append(parts, fmt.Sprintf("%d %s%s", n, o, delay))
		}
	}
	if len(parts) == 0 {
		return "value or error" + dagger
	}
	return strings.Join(parts, ", ") + dagger
}

// delay returns the delay of a value or an error, or "" if it came at once. The times of the other
// outcomes follow from their kinds.
func (s observation) delay(o outcome) string {
	if took := s.Took[o]; (o == failed || o == value) && took > atOnce {
		return fmt.Sprintf(" at %.0f s", took.Seconds())
	}
	return ""
}

// phrases describe the outcomes, for one caller and for several.
var phrases = map[outcome][2]string{
	hangs:     {"hangs", "hang"},
	killed:    {"is killed", "are killed"},
	panicked:  {"panics", "panic"},
	zeroValue: {"gets neither a value nor an error", "get neither a value nor an error"},
	cancelled: {"gets the first caller's error", "get the first caller's error"},
	late:      {"fails at its deadline", "fail at their deadline"},
	failed:    {"gets an error", "get an error"},
	value:     {"gets a value", "get a value"},
}

// words describes the observation in a line.
func (s observation) words(f fault) string {
	switch {
	case s.Unsupported:
		return "there is no such call"
	case s.Process == dies:
		return "the process dies"
	case s.Process == silent:
		return "the process does not answer"
	}
	var parts []string
	for _, o := range outcomes {
		switch n := s.Outcomes[o]; {
		case n == 1:
			parts = append(parts, "1 "+phrases[o][0]+s.delay(o))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s%s", n, phrases[o][1], s.delay(o)))
		}
	}
	next := phrases[s.Next][0]
	if s.stored(f) != "" {
		next = "gets the " + s.NextValue + " value"
	}
	return strings.Join(parts, ", ") + "; the next one " + next
}
