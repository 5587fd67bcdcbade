package cache

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// DefaultStaleRetry is used if Options.StaleRetry is 0.
const DefaultStaleRetry = time.Second

// A failure is remembered in the stale entry that the failed load was to replace. Until then
// callers get the stale value at once.
type failure struct {
	err   error
	until int64 // on the cache's clock
}

// ended marks a livedEntry that was removed by Delete and the like, or replaced, so that callers
// that wait for a load do not get its value if the load fails. They may still get that of an
// evicted entry: such an entry is not marked, as long as there is a load that is to replace it,
// by way of which its end is noticed.
var ended = &failure{}

// noteFailure records err, the failure of a load, in e, the stale entry of the key. For d, callers
// get e's value at once.
func (c *Cache[K, V]) noteFailure(e *entry[K, V], err error, d time.Duration) {
	f := &failure{err, addTime(c.clock.now(), d)}
	last := &e.lived().failure
	for {
		now := last.Load()
		if now == ended || now != nil && now.until > f.until || last.CompareAndSwap(now, f) {
			return
		}
	}
}

// lateFor bounds the time for which callers get a stale value at once after the key's load was
// found to be late; it is SoftTimeout, if that is less. So while a load hangs, most callers do not
// ask the courier, which now and then starts another one.
const lateFor = 10 * time.Millisecond

// recentFailure returns the error of the last load of e's key if that has failed less than
// StaleRetry ago, or was late less than lateFor ago, so that callers get e's value at once, and
// nil otherwise.
func (c *Cache[K, V]) recentFailure(e *entry[K, V]) error {
	f := e.lived().failure.Load()
	if f == nil || c.clock.reached(f.until) {
		return nil
	}
	return f.err
}

// end removes e, and ends its value even for callers that wait for a load. s.mu is held.
func (c *Cache[K, V]) end(s *shard[K, V], e *entry[K, V], reason Reason, out *evicted[K, V]) {
	if c.staleFor > 0 {
		e.lived().failure.Store(ended)
	}
	c.remove(s, e, c.reasonFor(e, reason), out)
}

// supersede unregisters the load of key, if any. If the entry that the load was to replace was
// evicted, it marks that as ended. s.mu is held.
func (s *shard[K, V]) supersede(hash uint32, key K) {
	s.changes.note(hash)
	l := s.loads.get(hash, key)
	if l == nil {
		return
	}
	s.loads.remove(hash, key)
	e := l.replacement().replaced()
	if e != nil && e.kind() >= lived && s.index.find(hash, key) != e {
		e.lived().failure.Store(ended)
	}
}

// endEvicted marks e, which is about to be evicted, as ended, unless a load that is under way will
// do so. s.mu is held.
func (c *Cache[K, V]) endEvicted(s *shard[K, V], e *entry[K, V]) {
	if c.staleFor == 0 {
		return
	}
	l := s.loads.get(e.Hash&hashMask, e.key)
	if l != nil && l.replacement().replaced() == e && !l.replacement().supersedes {
		return
	}
	e.lived().failure.Store(ended)
}

// An arrival holds the state that a caller finds when it misses a key.
type arrival[K comparable, V any] struct {
	entry   *entry[K, V] // stale, to be given if the load fails; nil: there is none
	clears  uint32       // shard.clears
	missing error        // the error of a missing record that is remembered

	came int64 // the time, if entry is not nil and there is a SoftTimeout

	load *load[K, V] // under way

	// A load that was under way had begun when the number of invalidations was oldest or
	// more. The caller came at invalidations. If a tag of the load's result was invalidated
	// in between, the caller can't get that result.
	oldest, invalidations uint32
}

// arrive returns the state that a caller finds when it misses key. With default options that
// is empty.
func (c *Cache[K, V]) arrive(s *shard[K, V], hash uint32, key K) (a arrival[K, V]) {
	if !c.arrivals || !equalsItself(key) {
		return a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.clears = s.clears
	a.missing = s.missing.find(key, &c.clock)
	if c.staleFor > 0 {
		if e := s.index.find(hash, key); e != nil && !c.gone(e) {
			a.entry = e
		}
	}
	if a.entry != nil && c.softTimeout > 0 {
		a.came = c.clock.now()
	}
	if c.tagger != nil || c.refreshAt > 0 {
		a.load = s.loads.get(hash, key)
		a.invalidations = c.invalidated.seq.Load()
		if a.load != nil {
			a.oldest = a.load.invalidations
		} else { // a flight's load may be about to begin, or have ended before the flight
			a.oldest = a.invalidations - min(a.invalidations, invalidationsKept/2)
		}
	}
	return a
}

// outdated reports whether v, the value of a shared flight, may have been loaded before one of
// its tags was invalidated, while the caller came after that.
func (c *Cache[K, V]) outdated(a arrival[K, V], key K, v V) bool {
	return a.oldest != a.invalidations &&
		c.invalidated.between(a.oldest, a.invalidations, c.tagsFor(key, v))
}

// failedRefresh reports whether err is the failure of a refresh that had begun before the
// caller came. Without the refresh the caller would have loaded the key, so it does that now.
func (c *Cache[K, V]) failedRefresh(ctx context.Context, a arrival[K, V], err error) bool {
	return err != nil && a.load != nil && a.load.refreshes() && ctx.Err() == nil &&
		!errors.Is(err, courier.ErrLate) && !isAbsence(err)
}

// patienceLeft returns the patience that is left for a second load to a caller that came at
// came.
func (c *Cache[K, V]) patienceLeft(came int64) time.Duration {
	if c.softTimeout == 0 {
		return 0
	}
	return max(1, c.softTimeout-time.Duration(c.clock.now()-came))
}

// fallback returns the result of a caller whose load has ended with err: the stale value, if
// there still is one, or a value that was stored meanwhile. ok is false if there is neither,
// or if the caller was cancelled.
func (c *Cache[K, V]) fallback(
	ctx context.Context, s *shard[K, V], hash uint32, key K, a arrival[K, V], err error,
) (r Result[V], ok bool) {
	if cancelled := ctx.Err(); cancelled != nil && !errors.Is(cancelled, context.DeadlineExceeded) {
		return r, false
	}
	s.mu.Lock()
	e := s.index.find(hash, key)
	evicted := e == nil && s.clears == a.clears && a.entry.lived().failure.Load() != ended
	s.mu.Unlock()
	if evicted && !c.invalidatedSince(a.invalidations, c.tagsFor(key, a.entry.value)) {
		e = a.entry
	}
	switch {
	case e == nil || c.gone(e):
		return r, false
	case !c.expired(e):
		return Result[V]{Value: e.value, Age: c.age(e)}, true
	}
	return c.stale(e, err), true
}

// fallbackAfter does what fallback does, after a load has ended with err, or was refused.
func (c *Cache[K, V]) fallbackAfter(
	ctx context.Context, s *shard[K, V], hash uint32, key K, a arrival[K, V], err error,
) (r Result[V], ok bool) {
	if _, inLoad := StoreTTL(ctx); inLoad && errors.Is(err, courier.ErrDeadlock) {
		// The stale value would hide the mistake, and might be stored as a new one.
		return r, false
	}
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, courier.ErrLate):
		c.noteFailure(a.entry, err, min(lateFor, cmp.Or(c.softTimeout, lateFor)))
	default:
		c.noteFailure(a.entry, err, c.staleRetry)
	}
	return c.fallback(ctx, s, hash, key, a, err)
}

// staleAtOnce returns the result of a caller that does not wait for a load, since the last one has
// failed recently or is late. It takes no lock. ok is false if the caller has to arrive.
func (c *Cache[K, V]) staleAtOnce(
	ctx context.Context, s *shard[K, V], hash uint32, key K,
) (r Result[V], ok bool) {
	if c.staleFor == 0 {
		return r, false
	}
	e := s.index.find(hash, key)
	if e == nil || !c.expired(e) || c.gone(e) || ctx.Err() != nil {
		return r, false
	}
	err := c.recentFailure(e)
	if err == nil {
		return r, false
	}
	return c.stale(e, err), true
}

// stale returns the result of a caller that gets the stale value of e because of err.
func (c *Cache[K, V]) stale(e *entry[K, V], err error) Result[V] {
	c.stripes.local().stale.Add(1)
	if c.log != nil {
		c.logStale(e, err)
	}
	return Result[V]{Value: e.value, Stale: true, Age: c.age(e), Err: err}
}

// watch unregisters l, and records its failure, when its flight ends before its function does,
// as at a time-out.
func (c *Cache[K, V]) watch(l *load[K, V]) {
	l.replacement().unwatch = context.AfterFunc(l.ctx, func() {
		s, _ := c.shardOf(l.key)
		s.unregister(l)
		c.noteEnd(l, nil)
	})
}

// unwatch ends watch when l has ended, and records its failure, if any.
func (c *Cache[K, V]) unwatch(l *load[K, V], failure error) {
	if l.replacement().unwatch() {
		c.noteEnd(l, failure)
	}
}

// noteEnd records a failure of l in the entry that l was to replace, unless that was fresh when
// l began: a refresh that fails must not make callers worse off than none. It is called once,
// when the function of l or the flight has ended.
func (c *Cache[K, V]) noteEnd(l *load[K, V], failure error) {
	r := l.replacement()
	e := r.entry.Swap(nil)
	switch err := l.ctx.Err(); {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded):
		failure = courier.ErrTimeout
	default: // no caller waits any more
		failure = nil
	}
	if failure != nil && c.staleFor > 0 && !r.fresh {
		c.noteFailure(e, failure, c.staleRetry)
	}
}
