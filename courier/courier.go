package courier

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// A Courier runs at most one fetch per key at a time and gives its outcome to
// every caller who waits for that key. The zero value is ready to use, with
// the defaults of [New]. All methods are safe for concurrent use. A Courier
// must not be copied after first use.
type Courier[K comparable, V any] struct {
	cfg   config
	slots *slots // nil: functions are not limited

	// tracked is the number of keys that Forget would have something to do
	// for. It is written with mu held and read without, so that Forget costs
	// one load while nothing is under way.
	tracked atomic.Int64

	// mu guards everything below, and the mutable fields of every flight.
	// The lock inside slots may be taken with mu held. The wait-for graph's
	// lock is never held together with mu.
	mu       sync.Mutex
	flights  map[K]*flight[K, V]        // live flights that own their key
	peak     int                        // largest len(flights) since the map was made
	loose    map[*flight[K, V]]struct{} // live flights that own no key any more
	failures *failures[K]               // nil: keys don't back off
	stuck    map[K]*abandoned           // abandoned flights by key
	busy     int                        // flights with a goroutine still running
	closed   bool
	idle     chan struct{} // made by Shutdown; closed when busy falls to 0
	stats    Stats
}

// New makes a Courier. Without options a flight has no time-out, functions are
// not limited in number, keys don't back off, and abandoned flights are
// bounded by [DefaultMaxAbandonedPerKey] and [DefaultMaxAbandoned].
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
	if cfg.backoffMin > 0 {
		c.failures = newFailures[K](cfg.backoffMin, cfg.backoffMax)
	}
	return c
}

// Do returns the outcome of one call of fetch for key. If a flight for key is
// under way it joins that one and its own fetch is not called; otherwise it
// starts a flight that calls fetch in a new goroutine.
//
// Do blocks until the flight ends or ctx does. If ctx ends first, the error is
// ctx.Err(), joined by context.Cause(ctx) where that says more, and the flight
// goes on for its other callers; a flight whose last caller has left is
// cancelled. If ctx has ended before the call, no flight is started. A call
// made inside a flight of a courier with [WithMaxConcurrent] then waits until
// that flight has its turn again or is over.
//
// The context given to fetch has the values of the starting caller's context.
// It is cancelled when the flight ends, for whatever reason; its deadline is
// that of [WithTimeout], never a caller's.
//
// shared reports whether the outcome was given to more than one caller, as in
// singleflight.
//
// Besides what fetch returns, err may be or wrap: *[PanicError], [ErrGoexit],
// [ErrTimeout], [ErrClosed], *[DeadlockError], [ErrOverloaded] and
// *[BackoffError]. A panic of fetch is never raised in the caller.
func (c *Courier[K, V]) Do(ctx context.Context, key K, fetch func(context.Context) (V, error)) (v V, shared bool, err error) {
	if ctx.Err() != nil {
		return v, false, contextError(ctx)
	}
	// Compared before the lock is taken: a key that holds an uncomparable
	// value panics here, in its own caller, and leaves no lock behind.
	owns := equalsItself(key)
	parent := nodeOf(ctx)

	c.mu.Lock()
	f, joined, err := c.board(ctx, key, owns, fetch)
	if err != nil {
		f, joined, err = c.boardAgain(ctx, key, owns, fetch, err)
	}
	c.mu.Unlock()
	if err != nil {
		return v, false, err
	}
	if parent != nil && !c.cfg.unlinked {
		return c.waitNested(ctx, parent, f, joined)
	}
	if !joined {
		go f.run()
	}
	return c.wait(ctx, f, joined)
}

// equalsItself is false for keys such as NaN, which a map can never find
// again. Their flights own no key: each caller has one of its own.
func equalsItself[K comparable](key K) bool {
	return key == key //nolint:gocritic // false for NaN: that is the question
}

// boardAgain is called when board has refused a caller, with c.mu held. A
// goroutine that is about to end, and only waits for a processor, is not stuck:
// in a busy loop of calls, children that have nothing left to do can starve
// for a time slice. So they get a few chances before the caller is refused.
func (c *Courier[K, V]) boardAgain(ctx context.Context, key K, owns bool, fetch func(context.Context) (V, error), why error) (f *flight[K, V], joined bool, err error) {
	err = why
	for try := 0; try < 4 && (err == errStuckKey || err == errStuckAll); try++ { //nolint:errorlint // a BackoffError may wrap another courier's
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		f, joined, err = c.board(ctx, key, owns, fetch)
	}
	if err == errTooManyWaiting || err == errStuckKey || err == errStuckAll { //nolint:errorlint // as above
		c.stats.Overloads++
	}
	return f, joined, err
}

// board finds the flight for key or makes one, and counts the caller in. The
// caller of board starts a new flight's goroutine. c.mu is held.
func (c *Courier[K, V]) board(ctx context.Context, key K, owns bool, fetch func(context.Context) (V, error)) (f *flight[K, V], joined bool, err error) {
	if c.closed {
		return nil, false, ErrClosed
	}
	if limit := c.cfg.maxWaiting; limit > 0 && c.stats.Waiting >= limit {
		return nil, false, errTooManyWaiting
	}
	if owns {
		if f = c.flights[key]; f != nil {
			f.waiters++
			f.joins++
			c.stats.Waiting++
			c.stats.Joined++
			return f, true, nil
		}
		if c.failures != nil {
			if err := c.failures.check(key); err != nil {
				c.stats.BackedOff++
				return nil, false, err
			}
		}
		if a := c.stuck[key]; a != nil && c.refuses(a) {
			return nil, false, errStuckKey
		}
	}
	if c.stats.Abandoned >= c.cfg.abandonedInAll() {
		return nil, false, errStuckAll
	}
	f = newFlight(ctx, c, key, owns, fetch)
	if owns {
		if c.flights == nil {
			c.flights = make(map[K]*flight[K, V])
		}
		c.flights[key] = f
		c.peak = max(c.peak, len(c.flights))
		c.track()
	} else {
		c.setLoose(f)
	}
	c.busy++
	c.stats.Started++
	c.stats.InFlight++
	c.stats.Waiting++
	return f, false, nil
}

// wait blocks until f has ended or ctx has.
func (c *Courier[K, V]) wait(ctx context.Context, f *flight[K, V], joined bool) (v V, shared bool, err error) {
	leaving := ctx.Done()
	if leaving == nil { // a plain receive is half the price of a select
		<-f.done
		return f.value, f.joins > 0, f.err
	}
	select {
	case <-f.done:
	case <-leaving:
		if c.leave(f) {
			return v, joined, contextError(ctx)
		}
		// The flight had ended by then: its outcome is better than an excuse.
	}
	return f.value, f.joins > 0, f.err
}

// leave takes one caller off f and reports whether f was still under way. The
// last one to leave cancels the flight.
func (c *Courier[K, V]) leave(f *flight[K, V]) bool {
	c.mu.Lock()
	if f.ended {
		c.mu.Unlock()
		return false
	}
	f.waiters--
	c.stats.Waiting--
	last := f.waiters == 0 && !c.cfg.unlinked
	if last {
		c.stats.Deserted++
		f.settle(*new(V), context.Canceled)
	}
	c.mu.Unlock()
	if last {
		f.land()
	}
	return true
}

// Forget makes the next Do for key start a fresh flight, even if one is under
// way: that one goes on for those who wait for it. It also ends the back-off
// of a failing key. It does not block.
func (c *Courier[K, V]) Forget(key K) {
	if c.tracked.Load() == 0 || !equalsItself(key) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[key]; f != nil && !c.cfg.unlinked {
		f.disown()
		c.setLoose(f)
	}
	if c.failures != nil {
		c.failures.forget(key)
	}
	c.track()
}

// ForgetAll does what [Courier.Forget] does, for every key.
func (c *Courier[K, V]) ForgetAll() {
	if c.tracked.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cfg.unlinked {
		for _, f := range c.flights {
			f.disown()
			c.setLoose(f)
		}
	}
	if c.failures != nil {
		c.failures.forgetAll()
	}
	c.track()
}

// setLoose files a live flight that owns no key. c.mu is held.
func (c *Courier[K, V]) setLoose(f *flight[K, V]) {
	if c.loose == nil {
		c.loose = make(map[*flight[K, V]]struct{})
	}
	c.loose[f] = struct{}{}
}

// track updates tracked after a change of flights or failures. c.mu is held.
func (c *Courier[K, V]) track() {
	n := len(c.flights)
	if c.failures != nil {
		n += c.failures.len()
	}
	c.tracked.Store(int64(n))
}
