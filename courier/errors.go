package courier

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrGoexit is the outcome of a flight whose fetch function or linked
	// child called runtime.Goexit (as testing.T.FailNow does).
	ErrGoexit = errors.New("courier: fetch called runtime.Goexit")

	// ErrClosed is given to callers of a courier that was shut down, before
	// or while they waited.
	ErrClosed = errors.New("courier: closed")

	// ErrDeadlock matches, by errors.Is, every *DeadlockError.
	ErrDeadlock = errors.New("courier: deadlock")

	// ErrOverloaded is given to a caller at once when a limit is reached: too
	// many callers wait (WithMaxWaiting), too many abandoned functions still
	// run (WithMaxAbandoned), or a flight got no turn in time
	// (WithQueueWait). The text says which.
	ErrOverloaded = errors.New("courier: overloaded")

	// ErrTimeout is the outcome of a flight whose time was up (WithTimeout).
	// It wraps context.DeadlineExceeded; comparing with ErrTimeout tells it
	// from the end of the caller's own deadline. It has a method Timeout, as
	// net.Error wants.
	ErrTimeout error = timeoutError{}
)

// Made once: an overloaded courier should not spend memory on saying so.
var (
	errTooManyWaiting = fmt.Errorf("%w: too many callers wait", ErrOverloaded)
	errStuckKey       = fmt.Errorf("%w: too many abandoned functions of this key still run", ErrOverloaded)
	errStuckAll       = fmt.Errorf("%w: too many abandoned functions still run", ErrOverloaded)
	errQueueWait      = fmt.Errorf("%w: no turn came up in time", ErrOverloaded)
)

type timeoutError struct{}

func (timeoutError) Error() string { return "courier: flight timed out" }
func (timeoutError) Unwrap() error { return context.DeadlineExceeded }
func (timeoutError) Timeout() bool { return true }

// A BackoffError is given to callers of a key that failed lately, instead of
// another try (WithBackoff). It wraps the error of the last try.
type BackoffError struct {
	Err   error
	Until time.Time // no new flight starts before
}

// Error describes the BackoffError in one line.
func (e *BackoffError) Error() string {
	return fmt.Sprintf("courier: key backs off until %s after: %v", e.Until.Format(time.RFC3339Nano), e.Err)
}

// Unwrap returns the error of the last try.
func (e *BackoffError) Unwrap() error { return e.Err }
