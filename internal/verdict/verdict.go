// Package verdict classifies the outcome of a call of the cache, so that callers can be counted by
// it.
package verdict

import (
	"context"
	"errors"

	"github.com/snowfence/snowfence/courier"
)

// A Kind is a kind of outcome.
type Kind string

// The kinds. Failed is any error of the fetch function itself.
const (
	Value      Kind = "value"
	Stale      Kind = "stale" // the last good value, since no load brought a fresh one in time
	Failed     Kind = "error"
	Panic      Kind = "panic"
	Goexit     Kind = "goexit"
	TimedOut   Kind = "time-out" // the flight's
	Deadline   Kind = "deadline" // the caller's own
	Canceled   Kind = "cancelled"
	Deadlock   Kind = "deadlock"
	Overloaded Kind = "overloaded"
	BackedOff  Kind = "backed off"
	Closed     Kind = "closed"
)

// Of returns the kind of outcome of a call that returned err; it is Value for nil.
func Of(err error) Kind {
	if err == nil {
		return Value
	}
	// An error that may wrap others is checked before them: a panic may have any error as its
	// value, and a flight's time-out is a DeadlineExceeded too.
	var backoff *courier.BackoffError
	if errors.As(err, &backoff) {
		return BackedOff
	}
	var panicked *courier.PanicError
	if errors.As(err, &panicked) {
		return Panic
	}
	for _, known := range [...]struct {
		err  error
		kind Kind
	}{
		{courier.ErrGoexit, Goexit},
		{courier.ErrDeadlock, Deadlock},
		{courier.ErrOverloaded, Overloaded},
		{courier.ErrClosed, Closed},
		{courier.ErrTimeout, TimedOut},
		{context.Canceled, Canceled},
		{context.DeadlineExceeded, Deadline},
	} {
		if errors.Is(err, known.err) {
			return known.kind
		}
	}
	return Failed
}
