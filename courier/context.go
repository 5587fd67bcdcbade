package courier

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/snowfence/snowfence/courier/internal/guard"
)

// A flightContext is the context of a flight's function. Two standard contexts
// (WithoutCancel, WithCancel) would do the same for four more allocations and a
// quarter more time per flight.
//
// It is the first part of its flight, and a type of its own, since code that prints or compares a
// context by reflection must not read fields that the courier writes meanwhile.
type flightContext[K comparable, V any] struct {
	started instant
}

// flight returns the flight that c is the first part of.
func (c *flightContext[K, V]) flight() *flight[K, V] { return (*flight[K, V])(unsafe.Pointer(c)) }

// Deadline returns the flight's deadline, from WithTimeout.
func (c *flightContext[K, V]) Deadline() (time.Time, bool) {
	f := c.flight()
	timeout := f.shard.courier.cfg.flightTimeout()
	if timeout == 0 {
		return time.Time{}, false
	}
	at := time.Now()
	ends := f.ends(timeout)
	if ends == noDeadline {
		return time.Time{}, false
	}
	return at.Add(time.Duration(ends) - at.Sub(processStart)), true
}

// Done returns a channel that is closed when the flight is over.
func (c *flightContext[K, V]) Done() <-chan struct{} {
	f := c.flight()
	if done := f.doneIfMade(); done != nil {
		return done
	}
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if f.ended && f.doneIfMade() == nil {
		return closed
	}
	return f.makeDone()
}

// closed is the done channel of a flight that was over before it had one.
var closed = func() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}()

// doneIfMade returns f's done channel, or nil. It needs no lock.
func (f *flight[K, V]) doneIfMade() chan struct{} {
	done, _ := f.done.Load().(chan struct{})
	return done
}

// makeDone returns f's done channel, made if need be. f has not ended, or has one. shard.mu is
// held.
//
// A channel that is made in a bubble of testing/synctest can't be closed outside of it. So a caller
// in a bubble that joins a flight of outside, as of a courier that all tests share, takes one that
// was made when a flight began outside.
func (f *flight[K, V]) makeDone() chan struct{} {
	done := f.doneIfMade()
	if done == nil {
		if s := f.shard; s.outside != nil && !f.started.inBubble() && now().inBubble() {
			done, s.outside = s.outside, nil
		} else {
			done = make(chan struct{})
		}
		f.done.Store(done)
	}
	return done
}

// Err returns nil until the flight is over.
func (c *flightContext[K, V]) Err() error {
	f := c.flight()
	if !f.over() {
		return nil
	}
	<-c.Done() // which may be about to be closed
	if f.end == EndTimeout {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// Value returns the flight itself for guard.FlightKey, and the values of the first caller's
// context.
func (c *flightContext[K, V]) Value(key any) any {
	f := c.flight()
	if key == (guard.FlightKey{}) {
		return node(f)
	}
	if f.labels != nil { // for pprof.Do in the function
		if v := f.labels.ctx.Value(key); v != nil {
			return v
		}
	}
	// WithoutCancel hides the key by which package context looks for the nearest standard context:
	// it must not find the caller's.
	return context.WithoutCancel(f.values).Value(key)
}

// String returns the text for c in the String of a derived context.
func (c *flightContext[K, V]) String() string {
	f := c.flight()
	if f.isCarrier() && len(f.batch.passengers) > 1 {
		return fmt.Sprintf("courier.Flight(%v and %d more)", f.label(), len(f.batch.passengers)-1)
	}
	return fmt.Sprintf("courier.Flight(%v)", f.label())
}

// An afterFunc is called when its flight is over.
type afterFunc struct {
	do    func()
	quick bool // do neither blocks nor panics, so it needs no goroutine

	listed        bool // in flight.afterFuncs
	before, after *afterFunc
}

// AfterFunc calls do in a goroutine of its own when the flight is over, unless stop is called
// before. Package context looks for this method in contexts of other packages; with it, a derived
// context needs no goroutine.
func (c *flightContext[K, V]) AfterFunc(do func()) (stop func() bool) {
	f := c.flight()
	a := &afterFunc{do: do}
	if !f.addAfterFunc(a) {
		go func() {
			<-c.Done() // which may be about to be closed
			do()
		}()
		return func() bool { return false }
	}
	return func() bool { return f.removeAfterFunc(a) }
}

// addAfterFunc makes the flight call a at its end. It returns false if that has come.
func (f *flight[K, V]) addAfterFunc(a *afterFunc) bool {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if f.ended {
		return false
	}
	a.listed, a.after = true, f.afterFuncs
	if a.after != nil {
		a.after.before = a
	}
	f.afterFuncs = a
	return true
}

// removeAfterFunc reverses addAfterFunc. It returns false if it has done so before, or if the
// flight calls a.
func (f *flight[K, V]) removeAfterFunc(a *afterFunc) bool {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if f.ended || !a.listed {
		return false
	}
	a.listed = false
	if a.before == nil {
		f.afterFuncs = a.after
	} else {
		a.before.after = a.after
	}
	if a.after != nil {
		a.after.before = a.before
	}
	return true
}

// contextError returns ctx.Err(), joined by the cause where that says more. errors.Is reaches both.
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
	return detachedContext{context.WithoutCancel(ctx)}
}

type detachedContext struct{ context.Context }

func (d detachedContext) Value(key any) any {
	if key == (guard.FlightKey{}) {
		return nil
	}
	return d.Context.Value(key)
}

// A call describes a caller of Do, as its context does.
type call struct {
	flight node   // that Do was called inside; nil: none
	terms  *terms // nil: the usual ones
}

// terms are the conditions on which a caller waits, from the ContextWith functions.
type terms struct {
	low      bool          // ContextWithLowPriority
	patient  bool          // ContextWithPatience
	patience time.Duration // 0 or less: until the flight ends
	// patientFor reports whether the caller has patience for the key of a DoMany at index i; nil:
	// for all.
	patientFor func(i int) bool
	lateAge    time.Duration // ContextWithLateAge, or that of the flight around the call
}

func (c call) low() bool     { return c.terms != nil && c.terms.low }
func (c call) patient() bool { return c.terms != nil && c.terms.patient }

// withoutPatience returns c without patience.
func (c call) withoutPatience() call {
	if !c.patient() {
		return c
	}
	terms := *c.terms
	terms.patient, terms.patientFor = false, nil
	return call{c.flight, &terms}
}

func (c call) lateAge() time.Duration {
	switch {
	case c.terms != nil:
		return c.terms.lateAge
	case c.flight != nil:
		return c.flight.late()
	default:
		return 0
	}
}

// callOf returns the call that ctx describes.
func callOf(ctx context.Context) call {
	switch from := ctx.Value(guard.FlightKey{}).(type) {
	case *callContext:
		return call{from.flight, &from.terms}
	case node:
		return call{flight: from}
	default:
		return call{}
	}
}

// A callContext is a context with terms.
type callContext struct {
	context.Context
	flight node
	terms  terms
}

// withTerms returns ctx with a copy of its terms, which the caller may change.
func withTerms(ctx context.Context) *callContext {
	from := callOf(ctx)
	c := &callContext{Context: ctx, flight: from.flight}
	if from.terms != nil {
		c.terms = *from.terms
	}
	c.terms.lateAge = from.lateAge()
	return c
}

// Flight returns the flight that c belongs to, or nil.
func (c *callContext) Flight() guard.Flight {
	if c.flight == nil { // a nil node would not be a nil Flight
		return nil
	}
	return c.flight
}

func (c *callContext) Value(key any) any {
	if key == (guard.FlightKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// ContextWithLowPriority returns a context for a Do without a waiting user, such as
// one that refreshes a cache. A Do with it yields to others: it is neither
// counted nor refused by [WithMaxWaiting] and [WithMaxWaitingPerKey]. Its flight
// gets its turn (see [WithMaxConcurrent]) after those of ordinary callers, and its
// failure does not make the key back off, even if an ordinary caller has joined it.
// Otherwise a flight that an ordinary caller joins is an ordinary flight from then on.
func ContextWithLowPriority(ctx context.Context) context.Context {
	c := withTerms(ctx)
	c.terms.low = true
	return c
}

// ContextWithPatience returns a context for a Do on behalf of a caller that has
// something else to give, such as an older value. A Do with it waits until the
// flight is d old, and then returns [ErrLate]; if d is 0 or less, it waits
// until the flight ends. When d or the caller's deadline has passed, the flight is
// late, and goes on even without a waiter: until its function returns, its time-out
// has passed, or its key is forgotten ([Courier.Forget]). A caller that is cancelled
// leaves as any other does.
//
// If the flight that Do finds is late already, or older than d, or was started beside
// a late one, Do does not wait at all but returns ErrLate at once. Where another
// caller would start a fresh flight in place of a late one, it starts that too, and
// leaves it to go on alone. So a flight that hangs costs each caller d at most, once,
// and the key is tried again even without a waiter. Inside a flight that the one it
// finds waits for, it gets a *[DeadlockError], late or not.
//
// While it waits, a caller with patience counts for the limits like any other.
func ContextWithPatience(ctx context.Context, d time.Duration) context.Context {
	c := withTerms(ctx)
	c.terms.patient, c.terms.patience, c.terms.patientFor = true, d, nil
	return c
}

// ContextWithPatienceFor returns a context for a [Courier.DoMany] on behalf of a caller that
// has something else to give for some of its keys: those at whose index has returns true. For
// these it does what [ContextWithPatience] does; for the others the caller waits as usual. For
// a Do it equals ContextWithPatience. has is called in the goroutine of DoMany.
func ContextWithPatienceFor(
	ctx context.Context, d time.Duration, has func(i int) bool,
) context.Context {
	c := withTerms(ctx)
	c.terms.patient, c.terms.patience, c.terms.patientFor = true, d, has
	return c
}

// ContextWithLateAge returns a context for a Do on behalf of a caller, such as another process, for
// which a flight of the key was late at that age. If the flight that Do finds is about as old (half
// the age will do, since messages take time), it counts as late.
func ContextWithLateAge(ctx context.Context, age time.Duration) context.Context {
	c := withTerms(ctx)
	c.terms.lateAge = age
	return c
}

// LateAge returns the age of the late flight beside which the flight in ctx was started, as of that
// start; 0 if there was none. A fetch function that asks another process passes it on, for
// [ContextWithLateAge].
func LateAge(ctx context.Context) time.Duration { return callOf(ctx).lateAge() }
