package cache

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/courier"
)

const (
	// maxRefreshes bounds the refreshes that run at a time, each in two goroutines, and
	// maxRefreshQueue those that wait for their turn, without a goroutine.
	maxRefreshes    = 128
	maxRefreshQueue = 1024

	// The largest shares of RefreshAt that are taken off at random. Keys that were loaded
	// within a moment are refreshed at an even rate only if the first refreshes are spread
	// widely, and the second ones begin when the first ones end. With these two the rate
	// never exceeds 4/3 of its mean; with one for both it would reach 3/2.
	firstRefreshJitter = 0.6
	refreshJitter      = 0.4
)

// firstRefresh returns the time at which an entry that is stored at now and expires at
// expires is due: never if it does not expire.
func (c *Cache[K, V]) firstRefresh(now, expires int64) int64 {
	return c.refreshTime(now, expires, firstRefreshJitter)
}

// nextRefresh returns the time at which e, the result of a refresh, is due.
func (c *Cache[K, V]) nextRefresh(e *entry[K, V]) int64 {
	return c.refreshTime(e.lived().storedAt, e.expiry(), refreshJitter)
}

func (c *Cache[K, V]) refreshTime(now, expires int64, jitter float64) int64 {
	if expires == never {
		return never
	}
	share := c.refreshAt * (1 - jitter*rand.Float64()) //nolint:gosec // no secret
	return addTime(now, time.Duration(share*float64(expires-now)))
}

// retryRefresh makes e due again after a refresh that did not replace it: after the same share of
// its TTL, or half of the rest if that is less, but not within StaleRetry.
func (c *Cache[K, V]) retryRefresh(e *entry[K, V]) {
	now, expires := c.clock.now(), e.expiry()
	share := time.Duration(c.refreshAt * float64(expires-e.lived().storedAt))
	rest := max(c.staleRetry, min(share, time.Duration(expires-now)/2))
	e.lived().refreshAt.Store(addTime(now, rest))
}

// due reports whether the caller is to refresh e: e is due, and the caller is the first to
// move its mark. The mark is not due again before retryRefresh.
func (c *Cache[K, V]) due(e *entry[K, V]) bool {
	at, due := c.dueAt(e)
	return due && e.lived().refreshAt.CompareAndSwap(at, never)
}

// dueAt returns the mark of e, and whether e is due by it. For negative times the coarse clock
// does not count: see clock.
func (c *Cache[K, V]) dueAt(e *entry[K, V]) (at int64, due bool) {
	at = e.lived().refreshAt.Load()
	return at, at != never && c.clock.approx() >= at && (at >= 0 || c.clock.now() >= at) &&
		!c.refresher.full.Load()
}

// refresh starts a background load of e's key if e is due. If too many refreshes wait
// already, e stays due, for a later hit.
func (c *Cache[K, V]) refresh(
	ctx context.Context, e *entry[K, V], fetch func(context.Context, K) (V, error),
) {
	if !c.due(e) {
		return
	}
	s, hash := c.shardOf(e.key)
	l := c.newLoad(hash, e.key)
	if !c.registerRefresh(s, e, l) {
		return
	}
	ctx = backgroundOf(ctx)
	c.enqueueRefresh([]*load[K, V]{l}, []*entry[K, V]{e}, func() { c.runRefresh(ctx, e, l, fetch) })
}

// backgroundOf returns a context with the values of ctx for a load that does not end with
// its caller, and is not a part of the flight that the caller may run in.
func backgroundOf(ctx context.Context) context.Context {
	if ctx == nil { // a hit accepts that, since it ignores ctx
		return context.Background()
	}
	return courier.Detach(ctx)
}

// enqueueRefresh makes a goroutine call run, now or later. If too many refreshes wait, it
// unregisters the loads instead, and the entries stay due.
func (c *Cache[K, V]) enqueueRefresh(loads []*load[K, V], entries []*entry[K, V], run func()) {
	if c.refresher.add(run) {
		return
	}
	for i, l := range loads {
		s, _ := c.shardOf(l.key)
		s.unregister(l)
		entries[i].lived().refreshAt.Store(c.clock.now())
	}
}

// registerRefresh registers l as the load that replaces e. It does so before l has its
// turn, so that a Set or Delete in between supersedes l, while the expiry of e does not.
// It returns false if e has left, or if another load of its key is registered.
func (c *Cache[K, V]) registerRefresh(s *shard[K, V], e *entry[K, V], l *load[K, V]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index.find(l.hash, l.key) != e {
		return false
	}
	if s.loads.get(l.hash, l.key) != nil {
		// In case that load fails; not at once, since each hit would look again.
		e.lived().refreshAt.Store(addTime(c.clock.now(), c.staleRetry))
		return false
	}
	c.registerLocked(s, l, e)
	return true
}

// runRefresh runs the load that replaces e in a flight of low priority, under the time-out
// of a load, and blocks until it has ended. Stats counts a failure.
func (c *Cache[K, V]) runRefresh(
	ctx context.Context, e *entry[K, V], l *load[K, V], fetch func(context.Context, K) (V, error),
) {
	s, _ := c.shardOf(l.key)
	if s.registered(l) {
		ctx = courier.ContextWithLowPriority(ctx)
		_, _, _ = c.courier.Do(ctx, l.key, func(ctx context.Context) (V, error) {
			if now := c.storedSince(s, l, e); now != nil {
				return now.value, nil
			}
			c.counters.refreshes.Add(1)
			return c.load(ctx, s, l, fetch)
		})
		s.unregister(l) // in case it joined another flight, or had no turn
	}
	c.retryRefresh(e)
}

func (s *shard[K, V]) registered(l *load[K, V]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads.has(l)
}

// storedSince returns the fresh entry that was stored in place of e while the refresh l
// waited for its turn, if any. A refresh that was superseded by a Delete runs all the same,
// for the callers that joined its flight, but its result is not stored.
func (c *Cache[K, V]) storedSince(s *shard[K, V], l *load[K, V], e *entry[K, V]) *entry[K, V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := c.fresh(s, l.hash, l.key); now != e {
		return now
	}
	return nil
}

// refresher owns the goroutines that run refreshes. They start on demand and end when the
// queue is empty.
type refresher struct {
	full atomic.Bool // the queue is full; hits read it without taking the lock

	mu      sync.Mutex // guards the following
	queue   []func()
	running int
	closed  bool
	// idle is made by stop, and closed when no refresh runs. A WaitGroup would not do: it
	// belongs to one synctest bubble.
	idle chan struct{}
}

// add makes a goroutine call run, now or later. It returns false if the queue is full or
// stop was called. It does not block.
func (q *refresher) add(run func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed || len(q.queue) == maxRefreshQueue:
		return false
	case q.running == maxRefreshes:
		q.queue = append(q.queue, run)
		q.full.Store(len(q.queue) == maxRefreshQueue)
		return true
	}
	q.running++
	go func() {
		for run := run; run != nil; run = q.next() {
			run()
		}
	}()
	return true
}

// next removes and returns the refresh that has waited for longest. If there is none, it
// returns nil, and the goroutine that called it counts as ended.
func (q *refresher) next() func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		q.queue = nil
		q.running--
		if q.running == 0 && q.idle != nil {
			close(q.idle)
			q.idle = nil
		}
		return nil
	}
	run := q.queue[0]
	q.queue[0] = nil
	q.queue = q.queue[1:]
	q.full.Store(false)
	return run
}

// stop prevents further refreshes and waits for those that run. The courier must have been
// shut down, which ends their flights. Close's clear unregisters the loads of those that
// waited.
func (q *refresher) stop() {
	q.mu.Lock()
	q.closed = true
	q.queue = nil
	if q.running == 0 {
		q.mu.Unlock()
		return
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	idle := q.idle
	q.mu.Unlock()
	<-idle
}
