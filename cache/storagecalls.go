package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// storageTrips is the number of calls in a row that have to fail, or be late, until the storage
	// counts as down. Of calls that overlap, one counts: otherwise a pause of the storage, in which
	// many calls are late at once, would take it for down. Then one call at a time is let through,
	// after storageRest to twice that.
	storageTrips = 5
	storageRest  = time.Second / 2

	// maxOverdue bounds the calls that run on although their time-out has passed. At the bound the
	// storage counts as down.
	maxOverdue = 64
)

// errStorageDown is the error of a call that is not made since too many have failed.
var errStorageDown = errors.New("cache: the second level has failed too often, and rests")

// errStorageLate is the error of a call that ran into its time-out.
var errStorageLate = errors.New("cache: the second level did not answer in time")

// errStorageExited is the error of a call that has ended its goroutine.
var errStorageExited = errors.New("cache: the second level called runtime.Goexit")

// storageCalls runs each call of a Storage in a goroutine of its own, so that one that hangs holds
// up nobody, and makes none while the storage is down.
type storageCalls struct {
	timeout time.Duration
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	failed  func(error) // is called with each failure
	overdue atomic.Int64

	made        time.Time
	lastFailure atomic.Int64 // since made: when the last failure was counted

	life context.Context // ends with close
	end  context.CancelFunc

	mu      sync.Mutex // guards the following
	running int
	idle    chan struct{} // made by close, and closed when no call runs
}

// newStorageCalls returns the calls of a Storage. failed is called with each failure, and works
// when the Storage works again after it has counted as down. works must not call methods of the
// result.
func newStorageCalls(timeout time.Duration, failed func(error), works func()) *storageCalls {
	s := &storageCalls{timeout: timeout, failed: failed, made: time.Now()}
	s.life, s.end = context.WithCancel(context.Background())
	s.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     storageRest + rand.N(storageRest), //nolint:gosec // no secret: spreads the probes
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= storageTrips },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, _, now gobreaker.State) {
			if now == gobreaker.StateClosed {
				works()
			}
		},
	})
	return s
}

// down reports whether calls are not made at present.
func (s *storageCalls) down() bool {
	return s.overdue.Load() >= maxOverdue || s.breaker.State() == gobreaker.StateOpen
}

// A storageCall is a call that is under way.
type storageCall struct {
	of       *storageCalls
	began    int64         // since storageCalls.made
	done     chan struct{} // closed when the call has ended, at the time-out at the latest
	err      error         // set before that
	ended    atomic.Bool
	reported atomic.Bool
	report   func(error) // to the breaker
}

// start calls f with a context that ends with ctx, at the time-out, and with close. It returns
// errStorageDown if it does not call f.
func (s *storageCalls) start(
	ctx context.Context, f func(context.Context) error,
) (*storageCall, error) {
	if s.overdue.Load() >= maxOverdue {
		return nil, errStorageDown
	}
	report, err := s.breaker.Allow()
	if err != nil {
		return nil, errStorageDown
	}
	if !s.begin() {
		report(context.Canceled)
		return nil, errStorageDown
	}
	call := &storageCall{
		of: s, began: int64(time.Since(s.made)), done: make(chan struct{}), report: report,
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	unlink := context.AfterFunc(s.life, cancel)
	overdue := context.AfterFunc(ctx, func() {
		s.overdue.Add(1)
		err := ctx.Err()
		if errors.Is(err, context.DeadlineExceeded) {
			err = errStorageLate
		}
		call.finish(err)
	})
	go func() {
		err := errStorageExited
		defer func() { // also after Goexit
			if overdue() {
				call.finish(err)
			} else {
				s.overdue.Add(-1)
			}
			unlink()
			cancel()
			s.finished()
		}()
		err = callGuarded(ctx, f)
	}()
	return call, nil
}

// callGuarded calls f, and turns a panic into an error.
func callGuarded(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cache: the second level panicked: %v", p)
		}
	}()
	return f(ctx)
}

// do calls f and waits for it.
func (s *storageCalls) do(ctx context.Context, f func(context.Context) error) error {
	call, err := s.start(ctx, f)
	if err != nil {
		return err
	}
	<-call.done
	return call.err
}

// wait waits for the call, but no longer than patience, and for as long as ctx lives. It reports
// whether the call has ended. A call that is late counts as failed.
func (c *storageCall) wait(ctx context.Context, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
	case <-timer.C:
		c.judge(errStorageLate)
	}
	return false
}

// poll reports whether the call has ended.
func (c *storageCall) poll() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// finish ends the call. Only the first caller has an effect.
func (c *storageCall) finish(err error) {
	if c.ended.Swap(true) {
		return
	}
	c.err = err
	c.judge(err)
	close(c.done)
}

// judge counts the outcome of the call, once.
func (c *storageCall) judge(err error) {
	if c.reported.Swap(true) {
		return
	}
	if err == nil || errors.Is(err, context.Canceled) {
		c.report(err)
		return
	}
	c.of.failed(err)
	if last := c.of.lastFailure.Load(); c.began < last ||
		!c.of.lastFailure.CompareAndSwap(last, int64(time.Since(c.of.made))) {
		err = context.Canceled // it overlaps with one that was counted
	}
	c.report(err)
}

// begin counts a call, unless close was called.
func (s *storageCalls) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.running++
	return true
}

func (s *storageCalls) finished() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.running == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// close cancels all calls, prevents further ones, and waits for those that run until ctx ends.
func (s *storageCalls) close(ctx context.Context) {
	s.mu.Lock()
	s.end()
	if s.running == 0 {
		s.mu.Unlock()
		return
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
