package courier

import (
	"context"
	"runtime"
	"sync/atomic"
)

// A Courier runs one fetch per key at a time and gives its outcome to every
// caller who waits for that key. The zero value is ready to use, with the
// defaults of [New]. All methods are safe for concurrent use. A Courier must
// not be copied after first use.
type Courier[K comparable, V any] struct {
	cfg     config
	slots   *slots // nil: functions are not limited
	table   atomic.Pointer[table[K, V]]
	waiting atomic.Int64 // callers, counted if WithMaxWaiting is given
	many    atomic.Int64 // callers of DoMany who wait
	stuck   stuckInAll
	drained signal // fired when functions have ended after Shutdown
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
	c := &Courier[K, V]{cfg: cfg}
	if cfg.maxConcurrent > 0 {
		c.slots = newSlots(cfg.maxConcurrent, cfg.queueWait)
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
// singleflight.
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
	f, from, err := c.board(ctx, key, fetch)
	switch {
	case err != nil:
		return v, false, err
	case from.nested:
		return c.waitNested(ctx, from, f)
	case !from.joined:
		go f.run()
	}
	if from.patient {
		return f.waitPatiently(ctx, from)
	}
	return f.wait(ctx, from)
}

// A boarding says how a caller came to wait for a flight.
type boarding struct {
	joined  bool // somebody else has started it
	low     bool // ContextWithLowPriority
	nested  bool // inside of another flight
	patient bool // ContextWithPatience
}

// board gets the caller of Do into a flight and, if it made one, leaves it to start
// the flight's goroutine. It is apart from Do so that callers wait on a stack that is
// as small as can be: many goroutines have just one of 2 KiB, and to need more takes
// as long as a tenth of a fetch.
//
//go:noinline
func (c *Courier[K, V]) board(
	ctx context.Context, key K, fetch func(context.Context) (V, error),
) (*flight[K, V], boarding, error) {
	// Compared and hashed before a lock is taken: a key that holds an
	// uncomparable value panics here, in its own caller.
	owns := equalsItself(key)
	s, hash := c.shardOf(key, owns)
	from := callOf(ctx)
	if err := s.passesItself(from, hash, key, owns); err != nil {
		return nil, boarding{}, err
	}

	s.mu.Lock()
	f, joined, why, err := s.joinOrStart(ctx, from, nil, hash, key, owns, fetch)
	s.mu.Unlock()
	if why != 0 {
		f, joined, err = s.boardAgain(ctx, from, hash, key, owns, fetch, why)
	}
	if err != nil && f != nil { // ErrLate, and nobody waits for f
		go f.run()
	}
	return f, boarding{joined, from.low(), from.flight != nil && !c.cfg.unlinked, from.patient()}, err
}

// boardAgain is board for a caller who was refused for that reason. A goroutine that is about to
// end, and only waits for a processor, is not stuck: in a busy loop of calls, children that have
// nothing left to do can starve for a time slice. So they get a few chances.
func (s *shard[K, V]) boardAgain(
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
		err = &OverloadedError{Key: key, Reason: why}
	}
	return f, joined, err
}

// equalsItself is false for keys such as NaN, which a map can never find
// again. Their flights own no key: each caller has one of its own.
func equalsItself[K comparable](key K) bool {
	return key == key //nolint:gocritic // false for NaN: that is the question
}

// joinOrStart finds the flight for key or makes one, and counts the caller in.
// why is not 0 if the caller is to be refused for that reason. The caller of
// joinOrStart starts a new flight's goroutine, also that of one which comes with
// ErrLate. m is the call of DoMany, or nil: then ctx and fetch are those of Do. s.mu
// is held.
func (s *shard[K, V]) joinOrStart(
	ctx context.Context, from call, m *manyCall[K, V], hash uint64, key K, owns bool,
	fetch func(context.Context) (V, error),
) (f *flight[K, V], joined bool, why OverloadReason, err error) {
	c := s.courier
	if s.closed {
		return nil, false, 0, ErrClosed
	}
	if from.patient() && owns && !c.cfg.unlinked {
		if fresh, late := s.pass(ctx, from, m, hash, key, fetch); late {
			return fresh, false, 0, ErrLate
		}
	}
	if !c.admits(from, m) {
		return nil, false, Waiting, nil
	}
	var late *flight[K, V] // the flight that a new one is to replace
	if owns {
		if f = s.flights.find(hash, key); f != nil && s.replaceable(f, from) {
			late, f = f, nil
		}
	}
	if f != nil {
		f, why = s.joined(f, from, m)
		return f, f != nil, why, nil
	}
	if m.lacksBatch() {
		return nil, false, 0, nil
	}
	probe, why, err := s.mayStart(key, owns, m)
	if why == Stuck && late != nil {
		// Other keys are to blame, and the late one may well succeed.
		f, why = s.joined(late, from, m)
		return f, f != nil, why, nil
	}
	if why != 0 || err != nil {
		if err != nil {
			s.stats.BackedOff++
		}
		c.dismisses(from, m)
		return nil, false, why, err
	}
	f = s.newFlight(ctx, from, m, hash, key, owns, fetch)
	f.probe = probe
	f.enter(from, m != nil)
	s.file(f, late)
	return f, false, 0, nil
}

// file makes f, which is new, the flight of its key, in place of late if that is not
// nil. s.mu is held.
func (s *shard[K, V]) file(f, late *flight[K, V]) {
	if late != nil {
		s.replace(late, f)
	}
	if f.owns {
		s.own(f)
	} else {
		s.setDetached(f)
	}
	if f.batch == nil { // else its carrier is what is busy
		s.busy++
	}
	s.stats.Started++
	s.stats.InFlight++
}

// joined counts in a caller, who was admitted, of a flight that is under way. It
// returns nil and the reason if too many wait for it. s.mu is held.
func (s *shard[K, V]) joined(
	f *flight[K, V], from call, m *manyCall[K, V],
) (*flight[K, V], OverloadReason) {
	if limit := s.courier.cfg.maxWaitingPerKey; limit > 0 && !from.low() && int(f.callers) >= limit {
		s.courier.dismisses(from, m)
		return nil, KeyWaiting
	}
	f.join(from, m != nil)
	return f, 0
}

// mayStart reports whether a flight for key may start, and as a try of what. If
// not, why or err says so. s.mu is held.
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
	case m != nil: // one function, so it is asked once, and the carrier is the try
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

// admits is admit for a caller of Do, or for the first key of DoMany that needs it.
func (c *Courier[K, V]) admits(from call, m *manyCall[K, V]) bool {
	if m != nil {
		return m.admit()
	}
	return c.admit(from.low())
}

// dismisses takes back what admits has counted for a caller of Do.
func (c *Courier[K, V]) dismisses(from call, m *manyCall[K, V]) {
	if m == nil {
		c.dismiss(from.low())
	}
}

// admit counts a caller who is about to wait, and reports false if there are
// too many of them.
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

// dismiss takes back what admit has counted.
func (c *Courier[K, V]) dismiss(low bool) {
	if c.cfg.maxWaiting > 0 && !low {
		c.waiting.Add(-1)
	}
}

// Forget makes the next Do for key start a fresh flight, even if one is under
// way: that one goes on for those who wait for it, and is cancelled if nobody does
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
		s.forget(f)
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
				s.forget(f)
			}
		}
		s.history.clear()
		s.track()
		s.mu.Unlock()
	}
}

// forget takes the key from f, whose result may be outdated. s.mu is held.
func (s *shard[K, V]) forget(f *flight[K, V]) {
	s.disown(f)
	s.setDetached(f)
	if !f.wanted() {
		f.desert()
		go f.wake() // not with the lock
	}
}
