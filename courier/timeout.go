package courier

import (
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/stacks"
)

// A TimeoutError is the outcome of a flight that has timed out (WithTimeout), with the place at
// which its function hangs. It matches ErrTimeout and context.DeadlineExceeded. All callers of the
// flight get the same one, so it must not be changed.
type TimeoutError struct {
	// Key is the flight's key.
	Key any
	// Age is the time since the flight was started.
	Age time.Duration
	// Waiters is the number of callers that waited for the flight when it timed out.
	Waiters int

	// Stack has the stacks of the flight's function and linked children when it timed out, in the
	// form of runtime/debug.Stack, without the frames of the scheduler and of this module. It comes
	// from a goroutine profile. One is taken at most every second, and profiles take at most a
	// hundredth of the process's time; until the next one, flights that have begun before the last
	// one get their stacks from that. Stack is nil if there is none, and in a process with more
	// than 10,000 goroutines, of which no profile is taken: Error says why.
	Stack []byte

	where  string // in one line, or why there is no stack
	leaked bool
}

// Error describes the TimeoutError in one line, without the key: with the call in which the
// function hangs, or the reason why it is not known.
func (e *TimeoutError) Error() string {
	callers := "callers"
	if e.Waiters == 1 {
		callers = "caller"
	}
	text := fmt.Sprintf("%v after %v with %d %s waiting", ErrTimeout, e.Age.Round(time.Millisecond),
		e.Waiters, callers)
	switch {
	case e.where == "":
		return text
	case e.leaked:
		return text + ", in a call that can never return: " + e.where
	default:
		return text + ": " + e.where
	}
}

// Unwrap returns ErrTimeout.
func (e *TimeoutError) Unwrap() error { return ErrTimeout }

// Timeout returns true. It is a method of net.Error.
func (e *TimeoutError) Timeout() bool { return true }

// Leaked reports that the function, or a linked child, can never return: it waits for something
// that no other goroutine can reach, such as a channel of its own. That is known only in programs
// with the runtime's detector of leaked goroutines, as of Go 1.26 those built with
// GOEXPERIMENT=goroutineleakprofile (golang/go#74609).
func (e *TimeoutError) Leaked() bool { return e.leaked }

// withoutStack returns a copy for what is kept for long.
func (e *TimeoutError) withoutStack() *TimeoutError {
	short := *e
	short.Stack = nil
	return &short
}

// timeoutError returns the outcome of f, which times out at that instant. shown has the stacks of
// all flights. s.mu is held.
func (s *shard[K, V]) timeoutError(
	f *flight[K, V], at instant, shown *stacks.Snapshot,
) *TimeoutError {
	age := at.since(f.started)
	e := &TimeoutError{Key: f.label(), Age: age, Waiters: int(f.waiters)}
	if s.courier.turns != nil && !f.turn.came() {
		e.where = "waiting for its turn (WithMaxConcurrent)"
		return e
	}
	// The age is as of at, before the profile was taken.
	began := time.Now().Add(-now().since(f.started))
	switch stack, err := shown.Of(f.labels.id, began); {
	case err != nil:
		e.where = "no stack: " + err.Error()
	default:
		e.Stack, e.where, e.leaked = stack.Text, "in "+stack.Where, stack.Leaked
	}
	return e
}

// timeoutErrors returns the outcome of a passenger whose carrier has timed out with err, and the
// error to remember. shard.mu is held.
func (f *flight[K, V]) timeoutErrors(err error) (outcome, remembered error) {
	var e *TimeoutError
	if !errors.As(err, &e) {
		return err, err
	}
	own := *e
	own.Key, own.Waiters = f.key, int(f.waiters)
	return &own, own.withoutStack()
}
