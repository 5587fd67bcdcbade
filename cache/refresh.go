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
	// maxRefreshes bounds how many refreshes run at a time, each with two goroutines,
	// and maxRefreshQueue how many wait for their turn, with none.
	maxRefreshes    = 128
	maxRefreshQueue = 1024

	// refreshJitter is the share of RefreshAfter of which a random part is taken off.
	refreshJitter = 0.2
)

// refreshMark returns when an entry that is stored now, or whose refresh has ended now,
// is due. What was loaded together must not be refreshed together.
func (c *Cache[K, V]) nextRefresh(now int64) int64 {
	off := refreshJitter * rand.Float64() * float64(c.refreshAfter) //nolint:gosec // no secret
	return addTime(now, c.refreshAfter-time.Duration(off))
}

// refresh makes e's key be loaded in the background if e is due. Whoever moves the
// mark first does so; the mark does not come up again before that load has ended. If
// too many wait for their turn already e is left due, for a later hit.
func (c *Cache[K, V]) refresh(
	ctx context.Context, e *entry[K, V], fetch func(context.Context, K) (V, error),
) {
	mark := &e.refreshed().refreshAt
	due := mark.Load()
	if c.clock.approx() < due || c.refresher.full.Load() || !mark.CompareAndSwap(due, never) {
		return
	}
	if ctx == nil { // a hit does not look at it
		ctx = context.Background()
	}
	s, hash := c.shardOf(e.key)
	l := c.newLoad(hash, e.key)
	if !s.registerRefresh(e, l) {
		mark.Store(due)
		return
	}
	// Detached: the caller's end is not the load's, nor does the flight that the
	// caller may be a part of wait for it.
	r := &refresh[K, V]{context: courier.Detach(ctx), entry: e, load: l, fetch: fetch}
	if !c.refresher.add(r, c.runRefresh) {
		s.unregister(l)
		mark.Store(due)
	}
}

// beginRefresh registers l as the load that is to replace e. It is registered before
// it has its turn, so that a Set or Delete in between supersedes it while the mere
// expiry of e does not. It reports false if e has left, or its key is loaded anyway.
func (s *shard[K, V]) registerRefresh(e *entry[K, V], l *load[K]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index.find(l.hash, l.key) != e || s.loads.get(l.hash, l.key) != nil {
		return false
	}
	s.loads.put(l)
	return true
}

// A refresh is a load that no caller waits for.
type refresh[K comparable, V any] struct {
	context context.Context // for its values, until its turn
	entry   *entry[K, V]    // what it is to replace
	load    *load[K]
	fetch   func(context.Context, K) (V, error)
}

// runRefresh runs r as a flight that yields to those which callers wait for, under the
// time-out of any flight. The outcome is in the cache, and in Stats if it is a failure.
func (c *Cache[K, V]) runRefresh(r *refresh[K, V]) {
	s, _ := c.shardOf(r.load.key)
	if s.registered(r.load) {
		ctx := courier.ContextWithLowPriority(r.context)
		_, _, _ = c.courier.Do(ctx, r.load.key, func(ctx context.Context) (V, error) {
			if e := c.storedSince(s, r); e != nil {
				return e.value, nil
			}
			c.counters.refreshes.Add(1)
			return c.load(ctx, s, r.load, r.fetch)
		})
		s.unregister(r.load) // if it joined another flight, or had no turn
	}
	r.entry.refreshed().refreshAt.Store(c.nextRefresh(c.clock.now()))
}

func (s *shard[K, V]) registered(l *load[K]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads.has(l)
}

// newer returns the live entry that was stored while r waited for its turn, if any. A
// refresh that was superseded otherwise runs for those who have joined it: what it
// brings is not stored.
func (c *Cache[K, V]) storedSince(s *shard[K, V], r *refresh[K, V]) *entry[K, V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.index.find(r.load.hash, r.load.key)
	if e == nil || e == r.entry || c.expired(e) {
		return nil
	}
	return e
}

// refresher owns the goroutines that wait for refreshes. They start on demand and end
// when nothing is left to do.
type refresher[K comparable, V any] struct {
	full atomic.Bool // so that hits on what is due do not meet at the lock

	mu      sync.Mutex // guards the following
	queue   []*refresh[K, V]
	running int
	closed  bool
	idle    chan struct{} // made by stop; closed when none run. (A WaitGroup belongs to one bubble.)
}

// add calls run(r) in a goroutine, now or later, unless too many wait or stop was
// called. It does not block.
func (q *refresher[K, V]) add(r *refresh[K, V], run func(*refresh[K, V])) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed || len(q.queue) == maxRefreshQueue:
		return false
	case q.running == maxRefreshes:
		q.queue = append(q.queue, r)
		q.full.Store(len(q.queue) == maxRefreshQueue)
		return true
	}
	q.running++
	go func() {
		for r := r; r != nil; r = q.next() {
			run(r)
		}
	}()
	return true
}

// next removes the refresh that has waited for the longest. If there is none, nil, the
// goroutine counts as ended.
func (q *refresher[K, V]) next() *refresh[K, V] {
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
	r := q.queue[0]
	q.queue[0] = nil
	q.queue = q.queue[1:]
	q.full.Store(false)
	return r
}

// stop lets no refresh begin any more and waits for those that run: their flights have
// been ended. Loads of those that waited are unregistered by Clear.
func (q *refresher[K, V]) stop() {
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
