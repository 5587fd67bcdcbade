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
	// maxRefreshes bounds how many refreshes run at a time, each in two goroutines, and
	// maxRefreshQueue how many wait for their turn, in none.
	maxRefreshes    = 128
	maxRefreshQueue = 1024

	// refreshJitter bounds the random share that is taken off RefreshAfter.
	refreshJitter = 0.2
)

// nextRefresh returns the time at which an entry that is stored now, or whose refresh ends
// now, is due. It is jittered, so that entries that were loaded together are not
// refreshed together.
func (c *Cache[K, V]) nextRefresh(now int64) int64 {
	off := refreshJitter * rand.Float64() * float64(c.refreshAfter) //nolint:gosec // no secret
	return addTime(now, c.refreshAfter-time.Duration(off))
}

// refresh starts a background load of e's key if e is due. The hit that moves the mark
// first starts it; the mark is not due again before that load has ended. If too many
// refreshes wait already, e stays due, for a later hit.
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
	// Detached, so that the load does not end with its caller, and is not a part of the
	// flight that the caller may run in.
	r := &refresh[K, V]{context: courier.Detach(ctx), entry: e, load: l, fetch: fetch}
	if !c.refresher.add(r, c.runRefresh) {
		s.unregister(l)
		mark.Store(due)
	}
}

// registerRefresh registers l as the load that replaces e. It does so before l has its
// turn, so that a Set or Delete in between supersedes l, while the expiry of e does not.
// It returns false if e has left, or if another load of its key is registered.
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
	context context.Context // the caller's, detached
	entry   *entry[K, V]    // to be replaced
	load    *load[K]
	fetch   func(context.Context, K) (V, error)
}

// runRefresh runs r in a flight of low priority, under the courier's time-out, and blocks
// until it has ended. Stats counts a failure.
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
		s.unregister(r.load) // for when it joined another flight, or had no turn
	}
	r.entry.refreshed().refreshAt.Store(c.nextRefresh(c.clock.now()))
}

func (s *shard[K, V]) registered(l *load[K]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads.has(l)
}

// storedSince returns the live entry that was stored while r waited for its turn, if any.
// A refresh that was superseded by a Delete runs all the same, for the callers who joined
// its flight, but its result is not stored.
func (c *Cache[K, V]) storedSince(s *shard[K, V], r *refresh[K, V]) *entry[K, V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.index.find(r.load.hash, r.load.key)
	if e == nil || e == r.entry || c.expired(e) {
		return nil
	}
	return e
}

// refresher owns the goroutines that run refreshes. They start on demand and end when the
// queue is empty.
type refresher[K comparable, V any] struct {
	full atomic.Bool // whether queue is full; read by hits instead of taking the lock

	mu      sync.Mutex // guards the following
	queue   []*refresh[K, V]
	running int
	closed  bool
	// idle is made by stop, and closed when no refresh runs. A WaitGroup would not do: it
	// belongs to one synctest bubble.
	idle chan struct{}
}

// add makes a goroutine call run(r), now or later. It returns false if the queue is full
// or stop was called. It does not block.
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

// next removes and returns the refresh that has waited for longest. If there is none, it
// returns nil, and the goroutine that called it counts as ended.
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

// stop prevents further refreshes and waits for those that run. The courier must have been
// shut down, which ends their flights. Close's Clear unregisters the loads of those that
// waited.
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
