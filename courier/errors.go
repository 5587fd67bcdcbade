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

	// ErrClosed is the error of callers of a courier that was shut down before or while
	// they waited.
	ErrClosed = errors.New("courier: closed")

	// ErrDeadlock matches, by errors.Is, every *DeadlockError.
	ErrDeadlock = errors.New("courier: deadlock")

	// ErrOverloaded matches, by errors.Is, every *OverloadedError.
	ErrOverloaded = errors.New("courier: overloaded")

	// ErrLate is the error of a caller whose patience has ended (ContextWithPatience). It means
	// that the caller waits no longer, not that the fetch has failed: the flight goes on, and
	// may well succeed.
	ErrLate = errors.New("courier: the flight is late")

	// ErrTimeout matches, by errors.Is, every *TimeoutError: the outcome of a flight that has timed
	// out (WithTimeout). It wraps context.DeadlineExceeded; errors.Is with ErrTimeout distinguishes
	// it from the end of the caller's own deadline. It has a method Timeout, as net.Error requires.
	ErrTimeout error = timeoutError{}
)

// An OverloadedError is the error of a caller that was refused at once because a limit was
// reached or, if its Reason is QueueWait, of all callers of a flight whose turn has not come in
// time. It matches ErrOverloaded.
type OverloadedError struct {
	Key    any
	Reason OverloadReason
}

// Error describes the OverloadedError in one line, without its key.
func (e *OverloadedError) Error() string { return ErrOverloaded.Error() + ": " + e.Reason.String() }

// Unwrap returns ErrOverloaded.
func (e *OverloadedError) Unwrap() error { return ErrOverloaded }

// An OverloadReason names the limit that was reached.
type OverloadReason uint8

// The reasons.
const (
	Waiting    OverloadReason = iota + 1 // WithMaxWaiting
	KeyWaiting                           // WithMaxWaitingPerKey
	KeyStuck                             // WithMaxAbandoned, per key
	Stuck                                // WithMaxAbandoned, in all
	QueueWait                            // WithQueueWait
)

// String describes the reason, and names the option that sets the limit.
func (r OverloadReason) String() string {
	switch r {
	case Waiting:
		return "too many callers wait (WithMaxWaiting)"
	case KeyWaiting:
		return "too many callers wait for this key (WithMaxWaitingPerKey)"
	case KeyStuck:
		return "too many abandoned functions of this key still run (WithMaxAbandoned)"
	case Stuck:
		return "too many abandoned functions still run (WithMaxAbandoned)"
	case QueueWait:
		return "no turn came up in time (WithMaxConcurrent, WithQueueWait)"
	default:
		return "unknown"
	}
}

type timeoutError struct{}

func (timeoutError) Error() string { return "courier: flight timed out" }
func (timeoutError) Unwrap() error { return context.DeadlineExceeded }
func (timeoutError) Timeout() bool { return true }

// A BackoffError is the error of callers of a key that rests after a failure
// (WithBackoff). It wraps the error of the last flight.
type BackoffError struct {
	Err   error
	Until time.Time // the end of the rest: no flight starts before
}

// Error describes the BackoffError in one line.
func (e *BackoffError) Error() string {
	return fmt.Sprintf("courier: key backs off until %s after: %v", e.Until.Format(time.RFC3339Nano),
		e.Err)
}

// Unwrap returns the error of the last flight.
func (e *BackoffError) Unwrap() error { return e.Err }
