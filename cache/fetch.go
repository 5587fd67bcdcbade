package cache

import (
	"context"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// Fetch returns the value stored for key or, if there is none, what fetch
// returns for it, which it stores for later. Callers who miss the same key at
// the same time share one call of fetch, even if their functions differ.
//
// Fetch blocks until the value is there, the load has failed, or ctx has ended;
// a hit neither blocks nor looks at ctx. The context given to fetch has the
// values of ctx but is cancelled only when nobody waits any more, the courier's
// time-out has passed, or the cache is closed; give it to whatever fetch calls.
// Fetch may be called within fetch, with that context: a cycle is an error.
//
// err is what fetch returned, or says how it ended otherwise; the possible
// errors are those of courier.Courier.Do. A failed load stores nothing and the
// next Fetch tries again, unless courier.WithBackoff says otherwise.
func (c *Cache[K, V]) Fetch(ctx context.Context, key K, fetch func(context.Context, K) (V, error)) (V, error) {
	if e := c.lookup(key); e != nil {
		if c.refreshAfter > 0 {
			c.refresh(ctx, e, fetch)
		}
		return e.value, nil
	}
	v, _, err := c.courier.Do(ctx, key, func(ctx context.Context) (V, error) {
		return c.load(ctx, key, nil, fetch)
	})
	return v, err
}

// load is what a flight runs. stale is the entry that it is to replace, or nil.
func (c *Cache[K, V]) load(ctx context.Context, key K, stale *entry[K, V], fetch func(context.Context, K) (V, error)) (v V, err error) {
	s, hash := c.shardOf(key)
	l := &load[K]{loadContext: loadContext{Context: ctx}, key: key, hash: hash}
	l.keep.Store(int64(c.ttl))
	if e := c.begin(s, l, stale); e != nil {
		return e.value, nil // stored between the caller's miss and the flight
	}
	c.counters.loads.Add(1)
	if stale != nil {
		c.counters.refreshes.Add(1)
	}
	open := true
	defer func() { // also after a panic or Goexit of fetch
		if open {
			c.counters.loadErrors.Add(1)
			s.finish(l)
		}
	}()
	v, err = fetch(l, key)
	if err != nil || ctx.Err() != nil {
		// Past its end a flight has no say: its callers have been told otherwise.
		return v, err
	}
	if keep := l.keep.Load(); keep >= 0 {
		c.store(s, hash, key, v, time.Duration(keep), l) // ends the registration, too
	} else {
		s.finish(l)
	}
	open = false
	return v, nil
}

// begin registers l as the load whose result may be stored for key, or returns
// the live entry that makes it needless. A refresh whose entry has left
// meanwhile runs for those who joined it, but is not registered: it must not
// bring back what was deleted after the Fetch that set it off.
func (c *Cache[K, V]) begin(s *shard[K, V], l *load[K], stale *entry[K, V]) *entry[K, V] {
	if !equalsItself(l.key) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.index.find(l.hash, l.key)
	if e != nil && e != stale && !c.expired(e) {
		return e
	}
	if stale == nil || e == stale {
		s.loads.put(l)
	}
	return nil
}

// finish removes l, if it is still there.
func (s *shard[K, V]) finish(l *load[K]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loads.has(l) {
		s.loads.remove(l.hash, l.key)
	}
}

// refresh loads e's key in the background if e is due. Whoever moves the mark
// first starts the load; it has until the mark comes up again, so that a stuck
// one is given up and followed by another.
func (c *Cache[K, V]) refresh(ctx context.Context, e *entry[K, V], fetch func(context.Context, K) (V, error)) {
	mark := &e.refreshed().refresh
	due := mark.Load()
	now := c.clock.roughly()
	if now < due || !mark.CompareAndSwap(due, later(now, c.refreshAfter)) {
		return
	}
	c.background.run(func() {
		if s, hash := c.shardOf(e.key); s.index.find(hash, e.key) != e {
			return // replaced or deleted before this goroutine began
		}
		ctx, cancel := context.WithTimeout(courier.Detach(ctx), c.refreshAfter)
		defer cancel()
		// The outcome is in the cache, and in Stats if it is a failure.
		_, _, _ = c.courier.Do(ctx, e.key, func(ctx context.Context) (V, error) {
			return c.load(ctx, e.key, e, fetch)
		})
	})
}

// StoreFor is called by a fetch function, with the context it was given, to
// have its result stored for ttl instead of the cache's TTL: for example as
// long as an HTTP response's max-age says. As with SetTTL, 0 means until it is
// evicted, and the options' TTLJitter is taken off; a negative ttl means
// [NoStore]. The last call before the function returns counts. StoreFor reports
// whether ctx belongs to a load; otherwise it does nothing.
func StoreFor(ctx context.Context, ttl time.Duration) bool {
	l, ok := ctx.Value(loadKey{}).(*loadContext)
	if ok {
		l.keep.Store(int64(ttl))
	}
	return ok
}

// NoStore is called by a fetch function, with the context it was given, to have
// its result given to those who wait for it but not stored. It reports whether
// ctx belongs to a load; otherwise it does nothing.
func NoStore(ctx context.Context) bool { return StoreFor(ctx, -1) }

// StoreTTL returns how long the result of the load in ctx is to be stored, as
// far as is known: the cache's TTL, or what StoreFor said last. 0 means until it
// is evicted, and a negative ttl that it is not stored. It reports false if ctx
// does not belong to a load.
func StoreTTL(ctx context.Context) (ttl time.Duration, ok bool) {
	l, ok := ctx.Value(loadKey{}).(*loadContext)
	if !ok {
		return -1, false
	}
	return time.Duration(l.keep.Load()), true
}
