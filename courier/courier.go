package courier

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/snowfence/snowfence/internal/eventlog"
	"github.com/snowfence/snowfence/internal/stacks"
)

// A Courier runs one fetch per key at a time and gives its outcome to every
// caller that waits for that key. The zero value is ready to use, with the
// defaults of [New]. All methods are safe for concurrent use. A Courier must
// not be copied after first use.
type Courier[K comparable, V any] struct {
	cfg     config
	turns   *turns // nil: functions are not limited
	table   atomic.Pointer[table[K, V]]
	waiting atomic.Int64 // callers, counted if WithMaxWaiting is given
	many    atomic.Int64 // waiting callers of DoMany
	stuck   stuckInAll
	drained signal        // fired when functions have ended after Shutdown
	log     *eventlog.Log // nil: there is no WithLogger
	bubble  stacks.Source // for tests
}

// New makes a Courier. Without options a flight has [DefaultTimeout], functions
// and callers are not limited in number, keys don't back off, and abandoned
// functions are bounded by [DefaultMaxAbandonedPerKey] and
// [DefaultMaxAbandoned].
//
// New panics with an *[OptionError] if an option's value is out of range; call
// [Validate] first where the values come from outside.
func New[K comparable, V any](opts ...Option) *Courier[K, V] {
	cfg, err := configure(opts)
	if err != nil {
		panic(err)
	}
	c := &Courier[K, V]{cfg: cfg, log: newLog(&cfg)}
	if cfg.maxConcurrent > 0 {
		c.turns = newTurns(cfg.maxConcurrent, cfg.queueWait)
	}
	return c
}

// Do returns the outcome of one call of fetch for key. If a flight for key is
// under way it joins that one and its own fetch is not called; otherwise, or if
// that flight is late (see the package's comment), it starts a flight that
// calls fetch in a new goroutine.
//
// Do blocks until the flight ends or ctx does. If ctx ends first, the error is
// ctx.Err(), joined by context.Cause(ctx) where that says more, and the flight
// goes on for its other callers; a flight whose last caller has left is
// cancelled. If ctx has ended before the call, no flight is started. A call
// made inside a flight of a courier with [WithMaxConcurrent] then waits until
// that flight has its turn again or is over. With [ContextWithPatience] Do may return
// [ErrLate] before, and the flight goes on even without callers.
//
// The context given to fetch has the values of the starting caller's context.
// It is cancelled when the flight ends, for whatever reason; its deadline is
// that of [WithTimeout], never a caller's.
//
// shared reports whether the outcome was given to more than one caller, as in
// singleflight; for a caller that leaves, whether the flight has had others.
//
// Besides what fetch returns, err may be or wrap: *[PanicError], [ErrGoexit],
// [ErrTimeout], [ErrClosed], *[DeadlockError], *[OverloadedError] and
// *[BackoffError]. A panic of fetch is never raised in the caller.
func (c *Courier[K, V]) Do(
	ctx context.Context, key K, fetch func(context.Context) (V, error),
) (v V, shared bool, err error) {
	if ctx.Err() != nil {
		return v, false, contextError(ctx)
	}
	f, w, err := c.flightFor(ctx, key, fetch)
	switch {
	case err != nil:
		return v, false, err
	case w.traced:
		return c.waitTraced(ctx, w, f)
	case w.nested:
		return c.waitNested(ctx, w, f)
	case !w.joined:
		go f.run()
	}
	if w.patient {
		return f.waitPatiently(ctx, w)
	}
	return f.wait(ctx, w)
}

// A waiter describes a caller that waits for a flight.
type waiter struct {
	joined  bool // another caller has started the flight
	low     bool // ContextWithLowPriority
	nested  bool // inside another flight
	patient bool // ContextWithPatience
	traced  bool // joined, with a Tracer
	since   instant
}

// flightFor returns the flight that the caller of Do waits for, which the caller starts if it has
// not joined it. It is a function apart, so that callers wait on a small stack: many goroutines
// have only the first 2 KiB, and to grow a stack takes a tenth of the time of a fetch.
//
//go:noinline
func (c *Courier[K, V]) flightFor(
	ctx context.Context, key K, fetch func(context.Context) (V, error),
) (*flight[K, V], waiter, error) {
	// Compared and hashed before a lock is taken: a key that holds an
	// uncomparable value panics here, in its own caller.
	owns := equalsItself(key)
	s, hash := c.shardOf(key, owns)
	from := callOf(ctx)
	if err := s.checkCycle(from, hash, key, owns); err != nil {
		return nil, waiter{}, err
	}

	s.mu.Lock()
	f, joined, why, err := s.joinOrStart(ctx, from, nil, hash, key, owns, fetch)
	s.mu.Unlock()
	if why != 0 {
		f, joined, err = s.retryStuck(ctx, from, hash, key, owns, fetch, why)
	}
	if err != nil && f != nil { // ErrLate: f has no waiter
		go f.run()
	}
	w := waiter{
		joined: joined, low: from.low(), nested: from.flight != nil && !c.cfg.unlinked,
		patient: from.patient(),
	}
	switch {
	case err != nil:
	case joined:
		w.since, w.traced = now(), c.cfg.tracer != nil
	default:
		w.since = f.started
	}
	return f, w, err
}

// retryStuck calls joinOrStart again, a few times, for a caller that was refused because functions
// are stuck. A goroutine that is about to end, and only waits for a processor, is not stuck: in a
// busy loop of calls, children that have nothing left to do can starve for a time slice.
func (s *shard[K, V]) retryStuck(
	ctx context.Context, from call, hash uint64, key K, owns bool,
	fetch func(context.Context) (V, error), why OverloadReason,
) (f *flight[K, V], joined bool, err error) {
	for try := 0; try < 4 && (why == KeyStuck || why == Stuck); try++ {
		runtime.Gosched()
		s.mu.Lock()
		f, joined, why, err = s.joinOrStart(ctx, from, nil, hash, key, owns, fetch)
		s.mu.Unlock()
	}
	if why != 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.Overloads++
		s.courier.logRefusal(key, uint32(hash>>32), why)
		err = &OverloadedError{Key: key, Reason: why}
	}
	return f, joined, err
}

// equalsItself returns false for keys such as NaN, which a map can never find again. Their flights
// own no key: each caller has a flight of its own.
func equalsItself[K comparable](key K) bool {
	return key == key //nolint:gocritic // false for NaN: that is the question
}

// joinOrStart finds the flight of key or makes one, and counts the caller in. If the caller is to
// be refused, why is the reason, and not 0. The caller of joinOrStart starts the goroutine of a new
// flight, also of one that comes with ErrLate. m is the call of DoMany, or nil: then ctx and fetch
// are those of Do. s.mu is held.
func (s *shard[K, V]) joinOrStart(
	ctx context.Context, from call, m *manyCall[K, V], hash uint64, key K, owns bool,
	fetch func(context.Context) (V, error),
) (f *flight[K, V], joined bool, why OverloadReason, err error) {
	c := s.courier
	if s.closed {
		return nil, false, 0, ErrClosed
	}
	if from.patient() && owns && !c.cfg.unlinked {
		if fresh, late := s.skipsLate(ctx, from, m, hash, key, fetch); late {
			return fresh, false, 0, ErrLate
		}
	}
	if !c.admitCaller(from, m) {
		return nil, false, Waiting, nil
	}
	var late *flight[K, V] // the one that a fresh flight is to replace
	if owns {
		if f = s.flights.find(hash, key); f != nil && s.replaceable(f, from) {
			late, f = f, nil
		}
	}
	if f != nil {
		f, why = s.join(f, from, m)
		return f, f != nil, why, nil
	}
	if m.lacksBatch() {
		return nil, false, 0, nil
	}
	probe, why, err := s.mayStart(key, owns, m)
	if why == Stuck && late != nil {
		// Functions of other keys are stuck, and the late flight may well succeed.
		f, why = s.join(late, from, m)
		return f, f != nil, why, nil
	}
	if why != 0 || err != nil {
		if err != nil {
			s.stats.BackedOff++
		}
		c.dismissCaller(from, m)
		return nil, false, why, err
	}
	f = s.newFlight(ctx, from, m, hash, key, owns, fetch)
	f.probe = probe
	f.enter(from, m != nil)
	s.register(f, late)
	return f, false, 0, nil
}

// join makes an admitted caller wait for f, which is under way. If too many callers wait for it
// already, it returns nil and the reason. s.mu is held.
func (s *shard[K, V]) join(
	f *flight[K, V], from call, m *manyCall[K, V],
) (*flight[K, V], OverloadReason) {
	if limit := s.courier.cfg.maxWaitingPerKey; limit > 0 && !from.low() && int(f.callers) >= limit {
		s.courier.dismissCaller(from, m)
		return nil, KeyWaiting
	}
	f.join(from, m != nil)
	return f, 0
}

// mayStart reports whether a flight of key may start: it may if why is 0 and err nil. probe is the
// bound that the flight then probes, if any. s.mu is held.
func (s *shard[K, V]) mayStart(
	key K, owns bool, m *manyCall[K, V],
) (probe probing, why OverloadReason, err error) {
	c := s.courier
	if owns {
		if c.cfg.backoffMin > 0 {
			if err := s.history.backsOff(key); err != nil {
				return none, 0, err
			}
		}
		if a := s.stuck[key]; a != nil {
			if probe = c.mayProbe(a); probe == refused {
				return refused, KeyStuck, nil
			}
		}
	}
	switch {
	case probe != none:
	case m != nil: // one function, so the bound is looked at once, and the carrier is the probe
		if !m.mayStart() {
			return refused, Stuck, nil
		}
	default:
		if probe = c.stuck.mayStart(c.cfg.abandonedInAll()); probe == refused {
			return refused, Stuck, nil
		}
	}
	return probe, 0, nil
}

// admitCaller calls admit for a caller of Do, or for the first key of DoMany that needs it.
func (c *Courier[K, V]) admitCaller(from call, m *manyCall[K, V]) bool {
	if m != nil {
		return m.admit()
	}
	return c.admit(from.low())
}

// dismissCaller reverses admitCaller for a caller of Do. A call of DoMany reverses it at its end.
func (c *Courier[K, V]) dismissCaller(from call, m *manyCall[K, V]) {
	if m == nil {
		c.dismiss(from.low())
	}
}

// admit counts a caller that is about to wait. If WithMaxWaiting is reached it counts nothing and
// returns false.
func (c *Courier[K, V]) admit(low bool) bool {
	limit := int64(c.cfg.maxWaiting)
	if limit == 0 || low {
		return true
	}
	for {
		n := c.waiting.Load()
		if n >= limit {
			return false
		}
		if c.waiting.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// dismiss reverses admit.
func (c *Courier[K, V]) dismiss(low bool) {
	if c.cfg.maxWaiting > 0 && !low {
		c.waiting.Add(-1)
	}
}

// Forget makes the next Do for key start a fresh flight, even if one is under
// way: that one goes on for its waiters, and is cancelled if it has none
// (ContextWithPatience). It also ends the back-off of a failing key. It does not block.
func (c *Courier[K, V]) Forget(key K) {
	if c.table.Load() == nil || !equalsItself(key) { // unused so far: not even a hash is needed
		return
	}
	s, hash := c.shardOf(key, true)
	if s.tracked.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.flights.find(hash, key); f != nil && !c.cfg.unlinked {
		s.detach(f)
	}
	s.history.endBackoff(key)
	s.track()
}

// ForgetAll does what [Courier.Forget] does, for every key. It takes the locks
// of the courier's shards one after the other.
func (c *Courier[K, V]) ForgetAll() {
	for s := range c.shards {
		if s.tracked.Load() == 0 {
			continue
		}
		s.mu.Lock()
		if !c.cfg.unlinked {
			for f := range s.flights.all {
				s.detach(f)
			}
		}
		s.history.clear()
		s.track()
		s.mu.Unlock()
	}
}
