package cache

import (
	"context"
	"errors"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// DefaultStaleRetry is used if Options.StaleRetry is 0.
const DefaultStaleRetry = time.Second

// A failure of a load is remembered in the stale entry that the load was to replace. Until
// its time the value is given at once.
type failure struct {
	err   error
	until int64 // on the cache's clock
}

// ended marks a livedEntry that was removed by Delete and the like, or replaced, so that those
// who wait for a load are not given its value when that fails. An entry that was evicted is
// not marked: they may still have it. Its end is noticed by way of the load that is to replace
// it, so it is marked if there is no such load.
var ended = &failure{}

// failed notes that a load of e's key has failed.
func (c *Cache[K, V]) failed(e *entry[K, V], err error) {
	f := &failure{err, addTime(c.clock.now(), c.staleRetry)}
	last := &e.lived().failure
	for {
		now := last.Load()
		if now == ended || now != nil && now.until > f.until || last.CompareAndSwap(now, f) {
			return
		}
	}
}

// rests returns the error of the last load of e's key, if that has failed so lately that
// e's value is given at once, and nil otherwise.
func (c *Cache[K, V]) rests(e *entry[K, V]) error {
	f := e.lived().failure.Load()
	if f == nil || c.clock.reached(f.until) {
		return nil
	}
	return f.err
}

// end removes e, which is a value that may not be given any more, not even by those who
// wait for a load. s.mu is held.
func (c *Cache[K, V]) end(s *shard[K, V], e *entry[K, V], reason Reason, out *evicted[K, V]) {
	if c.staleFor > 0 {
		e.lived().failure.Store(ended)
	}
	c.remove(s, e, c.reasonFor(e, reason), out)
}

// supersede unregisters the load of key, if any. If the entry that it was to replace was
// evicted, that is ended. s.mu is held.
func (s *shard[K, V]) supersede(hash uint32, key K) {
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

// endEvicted ends e, which is about to be evicted, unless a load that is under way sees to
// that. s.mu is held.
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

// An arrival holds what a caller finds that misses a key.
type arrival[K comparable, V any] struct {
	entry   *entry[K, V] // stale, to be given if the load fails; nil: there is none
	clears  uint32       // of the shard, at that time
	missing error        // says that there is no record, if that is remembered

	came int64 // when, if entry is not nil and there is a SoftTimeout

	load *load[K, V] // under way

	// The caller may not get the result of a load that had begun before, if its tags were
	// invalidated between the beginning of the load, which is oldest or later, and the
	// caller's.
	oldest, invalidations uint32
}

// arrive returns what there is for a caller who missed key. With the options as they come
// that is nothing.
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
		} else { // that of a flight may be about to begin, or have ended before the flight
			a.oldest = a.invalidations - min(a.invalidations, invalidationsKept/2)
		}
	}
	return a
}

// outdated reports whether v, which the caller got of a flight that others shared, may have
// been loaded before one of its tags was invalidated, while the caller came after that.
func (c *Cache[K, V]) outdated(a arrival[K, V], key K, v V) bool {
	return a.oldest != a.invalidations &&
		c.invalidated.between(a.oldest, a.invalidations, c.tagsFor(key, v))
}

// failedRefresh reports whether err is the failure of a refresh that had begun before the
// caller came. Without it the caller would have loaded the key itself, so it does that now.
func (c *Cache[K, V]) failedRefresh(ctx context.Context, a arrival[K, V], err error) bool {
	return err != nil && a.load != nil && a.load.refreshes() && ctx.Err() == nil &&
		!errors.Is(err, courier.ErrLate) && !isAbsence(err)
}

// patienceLeft returns how long a caller who came at that time, and has waited for one load
// already, waits for another one.
func (c *Cache[K, V]) patienceLeft(came int64) time.Duration {
	if c.softTimeout == 0 {
		return 0
	}
	return max(1, c.softTimeout-time.Duration(c.clock.now()-came))
}

// instead returns what to give to a caller whose load has ended with err: the stale value,
// if there still is one, or a value that was stored meanwhile. ok is false if there is
// neither, or if the caller was cancelled.
func (c *Cache[K, V]) instead(
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

// insteadOf does what instead does after a load has ended with err, or was refused.
func (c *Cache[K, V]) insteadOf(
	ctx context.Context, s *shard[K, V], hash uint32, key K, a arrival[K, V], err error,
) (r Result[V], ok bool) {
	if _, inLoad := StoreTTL(ctx); inLoad && errors.Is(err, courier.ErrDeadlock) {
		// The stale value would hide the mistake, and might be stored as a new one.
		return r, false
	}
	if ctx.Err() == nil && !errors.Is(err, courier.ErrLate) {
		c.failed(a.entry, err)
	}
	return c.instead(ctx, s, hash, key, a, err)
}

// stale returns the result of a caller who gets a stale value because of err.
func (c *Cache[K, V]) stale(e *entry[K, V], err error) Result[V] {
	c.counters.stale.Add(1)
	return Result[V]{Value: e.value, Stale: true, Age: c.age(e), Err: err}
}

// watch makes the end of l's flight known although its function may not return, such as a
// time-out: then l is unregistered, and its failure noted.
func (c *Cache[K, V]) watch(l *load[K, V]) {
	l.replacement().unwatch = context.AfterFunc(l.ctx, func() {
		s, _ := c.shardOf(l.key)
		s.unregister(l)
		c.noteEnd(l, nil)
	})
}

// unwatch is called when l has ended, with the reason if it has failed.
func (c *Cache[K, V]) unwatch(l *load[K, V], failure error) {
	if l.replacement().unwatch() {
		c.noteEnd(l, failure)
	}
}

// noteEnd is called once, when the function of l has ended, with the reason if it has failed,
// or the flight. It notes a failure in the entry that l was to replace, unless that was fresh
// when l began: a refresh that fails must not make callers worse off than none.
func (c *Cache[K, V]) noteEnd(l *load[K, V], failure error) {
	r := l.replacement()
	e := r.entry.Swap(nil)
	switch err := l.ctx.Err(); {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded):
		failure = courier.ErrTimeout
	default: // nobody waits any more
		failure = nil
	}
	if failure != nil && c.staleFor > 0 && !r.fresh {
		c.failed(e, failure)
	}
}
