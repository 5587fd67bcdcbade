// Package verdict gives what a caller of the cache was told one of a few
// names, so that callers can be counted by it.
package verdict

import (
	"context"
	"errors"

	"github.com/snowfence/snowfence/courier"
)

// A Kind is what a caller was told.
type Kind string

// The kinds. Failed is any error that the fetch function itself returned.
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

// Of names the outcome of a call that returned err; nil is Value.
func Of(err error) Kind {
	if err == nil {
		return Value
	}
	// What wraps another error comes before what it may wrap: a panic may have
	// been with any error, and a flight's time-out is a DeadlineExceeded too.
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
