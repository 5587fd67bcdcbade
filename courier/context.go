package courier

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// A flightContext is the context of a flight's function. Two standard contexts
// (WithoutCancel, WithCancel) would do the same for four more allocations and a
// quarter more time per flight.
//
// It is the first part of its flight, and all that others see of it: whoever
// prints a context or compares it, by reflection, must not read what the courier
// writes meanwhile.
type flightContext[K comparable, V any] struct {
	done chan struct{}
}

// flight returns the flight of which c is the first part.
func (c *flightContext[K, V]) flight() *flight[K, V] { return (*flight[K, V])(unsafe.Pointer(c)) }

// flightKey is the context key under which a flight is found from any context
// derived from its own.
type flightKey struct{}

// Deadline is the flight's own, from WithTimeout.
func (c *flightContext[K, V]) Deadline() (time.Time, bool) {
	f := c.flight()
	timeout := f.shard.courier.cfg.flightTimeout()
	if timeout == 0 {
		return time.Time{}, false
	}
	now := time.Now()
	return now.Add(timeout - (now.Sub(processStart) - time.Duration(f.started))), true
}

// Done is closed when the flight is over.
func (c *flightContext[K, V]) Done() <-chan struct{} { return c.done }

// Err is nil until the flight is over.
func (c *flightContext[K, V]) Err() error {
	select {
	case <-c.done:
		if c.flight().timedOut {
			return context.DeadlineExceeded
		}
		return context.Canceled
	default:
		return nil
	}
}

// Value finds the flight itself, then the values of the first caller.
func (c *flightContext[K, V]) Value(key any) any {
	f := c.flight()
	if key == (flightKey{}) {
		return node(f)
	}
	// WithoutCancel hides the key by which package context looks for the
	// nearest standard context: the caller's must not be taken for ours.
	return context.WithoutCancel(f.values).Value(key)
}

// String is what a context derived from this one prints for it.
func (c *flightContext[K, V]) String() string {
	return fmt.Sprintf("courier.Flight(%v)", c.flight().key)
}

type afterFunc struct{ do func() }

// AfterFunc is what package context looks for in a context that is not its
// own: with it, a derived context costs no goroutine.
func (c *flightContext[K, V]) AfterFunc(do func()) (stop func() bool) {
	f := c.flight()
	s := f.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.ended {
		go func() {
			<-f.done // it may be a moment from being closed
			do()
		}()
		return func() bool { return false }
	}
	a := &afterFunc{do}
	if f.afterFuncs == nil {
		f.afterFuncs = make(map[*afterFunc]struct{})
	}
	f.afterFuncs[a] = struct{}{}
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if f.ended {
			return false // wake runs it
		}
		_, waiting := f.afterFuncs[a]
		delete(f.afterFuncs, a)
		return waiting
	}
}

// contextError is ctx.Err(), with the cause where that says more. Both can be
// reached by errors.Is.
func contextError(ctx context.Context) error {
	err := ctx.Err()
	if err == nil { // a foreign context whose Done is closed
		err = context.Canceled
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// Detach returns a context with the values of ctx that is never cancelled and
// belongs to no flight. It is for work that a fetch function sets off but does
// not wait for: a nested Do with a context of the flight counts as something
// that the flight waits for.
func Detach(ctx context.Context) context.Context {
	return detached{context.WithoutCancel(ctx)}
}

type detached struct{ context.Context }

func (d detached) Value(key any) any {
	if key == (flightKey{}) {
		return nil
	}
	return d.Context.Value(key)
}

// A call holds what Do learns of its caller from the context.
type call struct {
	flight  node          // inside of which Do was called; nil: none
	low     bool          // ContextWithLowPriority
	lateAge time.Duration // ContextWithLateAge, or that of flight
}

// callOf returns what ctx says of who calls.
func callOf(ctx context.Context) call {
	switch from := ctx.Value(flightKey{}).(type) {
	case *callContext:
		return from.call
	case node:
		return call{flight: from, lateAge: from.late()}
	default:
		return call{}
	}
}

// A callContext says more of the caller than the flight it is inside of.
type callContext struct {
	context.Context
	call call
}

func (c *callContext) Value(key any) any {
	if key == (flightKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// ContextWithLowPriority returns a context for a Do that nobody waits for, such
// as one that refreshes a cache. A Do with it yields to others: it is neither
// counted nor refused by [WithMaxWaiting] and [WithMaxWaitingPerKey], and its
// flight gets its turn (see [WithMaxConcurrent]) after those that callers wait
// for, and does not make its key back off if it fails. A flight that a caller
// joins is a flight like any other from then on.
func ContextWithLowPriority(ctx context.Context) context.Context {
	from := callOf(ctx)
	from.low = true
	return &callContext{ctx, from}
}

// ContextWithLateAge returns a context for a Do on behalf of somebody who has
// seen a flight for the key let a caller down, when it was so old: a process
// that asks this one, say. If the flight that Do finds is about as old as that
// (half the age will do, since messages take their time) it counts as late.
func ContextWithLateAge(ctx context.Context, age time.Duration) context.Context {
	from := callOf(ctx)
	from.lateAge = age
	return &callContext{ctx, from}
}

// LateAge returns how old the late flight was beside which the flight in ctx was
// started; 0 if there was none. A fetch function that asks another process
// passes it on, for [ContextWithLateAge].
func LateAge(ctx context.Context) time.Duration { return callOf(ctx).lateAge }
