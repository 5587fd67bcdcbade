package cache

import (
	"context"
	"math"
	"time"
	"unsafe"
)

// Fetch returns the value stored for key. If there is none, it calls fetch and stores
// and returns the result. Callers who miss the same key at the same time share one call
// of fetch, even if their functions differ.
//
// A hit does not block, and ignores ctx. A miss blocks until the load has ended or ctx
// has. The context given to fetch has the values of ctx, but is cancelled only when
// no caller waits any more, the courier's time-out has passed, or the cache is closed;
// pass it to whatever fetch calls. fetch may call Fetch with that context; a cycle is an
// error.
//
// The error is the one that fetch returned, or describes how fetch ended otherwise: see
// courier.Courier.Do for all of them. A failed load stores nothing, and the next Fetch
// tries again, unless courier.WithBackoff is set.
func (c *Cache[K, V]) Fetch(
	ctx context.Context, key K, fetch func(context.Context, K) (V, error),
) (V, error) {
	if e := c.lookup(key); e != nil {
		if c.refreshAfter > 0 {
			c.refresh(ctx, e, fetch)
		}
		return e.value, nil
	}
	v, _, err := c.courier.Do(ctx, key, func(ctx context.Context) (V, error) {
		s, hash := c.shardOf(key)
		l := c.newLoad(hash, key)
		if e := c.findOrRegister(s, l); e != nil {
			return e.value, nil // stored between the caller's miss and the flight
		}
		return c.load(ctx, s, l, fetch)
	})
	return v, err
}

func (c *Cache[K, V]) newLoad(hash uint32, key K) *load[K] {
	l := &load[K]{key: key, hash: hash}
	l.ttl.Store(int64(c.ttl))
	return l
}

// findOrRegister returns the live entry of l's key, if any. Otherwise it registers l as
// the load whose result may be stored for the key.
func (c *Cache[K, V]) findOrRegister(s *shard[K, V], l *load[K]) *entry[K, V] {
	if !equalsItself(l.key) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.index.find(l.hash, l.key); e != nil && !c.expired(e) {
		return e
	}
	s.loads.put(l)
	return nil
}

// load calls fetch in the flight ctx, and stores its result if l is still registered
// then. s is the shard of l's key. In any case l is not registered afterwards.
func (c *Cache[K, V]) load(
	ctx context.Context, s *shard[K, V], l *load[K], fetch func(context.Context, K) (V, error),
) (v V, err error) {
	c.counters.loads.Add(1)
	l.ctx = ctx
	open := true
	defer func() { // also after a panic or Goexit of fetch
		if open {
			c.counters.loadErrors.Add(1)
			s.unregister(l)
		}
	}()
	v, err = fetch(loadContext{unsafe.Pointer(&l.loadState)}, l.key)
	if err != nil {
		return v, err
	}
	ttl := time.Duration(l.ttl.Load())
	var weight uint32
	if ttl > 0 {
		weight = c.weigh(l.key, v)
	}
	if ctx.Err() != nil {
		// The flight has ended: its callers got an error, so nothing is stored.
		return v, nil
	}
	open = false
	if ttl > 0 {
		c.store(s, l.hash, l.key, v, weight, ttl, l) // unregisters l
	} else {
		c.discard(s, l)
	}
	return v, nil
}

// discard unregisters l, whose result is not to be stored, and removes the entry of its
// key, if any, since that is outdated.
func (c *Cache[K, V]) discard(s *shard[K, V], l *load[K]) {
	if !equalsItself(l.key) {
		return
	}
	var out evicted[K, V]
	s.mu.Lock()
	if s.loads.has(l) {
		s.loads.remove(l.hash, l.key)
		if e := s.index.find(l.hash, l.key); e != nil {
			c.remove(s, e, c.reasonFor(e, ReasonDeleted), &out)
		}
	}
	s.mu.Unlock()
	c.notify(out)
}

// unregister unregisters l, if it is registered.
func (s *shard[K, V]) unregister(l *load[K]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loads.has(l) {
		s.loads.remove(l.hash, l.key)
	}
}

// Forever is the TTL of an entry that does not expire.
const Forever time.Duration = math.MaxInt64

// StoreFor sets the TTL of the result of the load in ctx, instead of Options.TTL. A fetch
// function calls it with its context, for example with the max-age of an HTTP response.
//
// If ttl is 0 or less, the result is returned to the callers who wait for it, but not
// stored; if the load refreshes an entry, that entry is removed, since it is outdated.
// With [Forever] the result does not expire. Options.TTLJitter applies as usual. The last
// call before the function returns counts. StoreFor reports whether ctx belongs to a load;
// if it does not, StoreFor does nothing. It does not block, and is safe for concurrent use.
func StoreFor(ctx context.Context, ttl time.Duration) bool {
	l, ok := ctx.Value(loadKey{}).(*loadState)
	if ok {
		l.ttl.Store(int64(ttl))
	}
	return ok
}

// StoreTTL returns the TTL that the result of the load in ctx has so far: the last ttl
// given to [StoreFor], or else Options.TTL. [Forever] means that the result does not
// expire, and 0 or less that it is not stored. ok is false if ctx belongs to no load.
func StoreTTL(ctx context.Context) (ttl time.Duration, ok bool) {
	l, ok := ctx.Value(loadKey{}).(*loadState)
	if !ok {
		return 0, false
	}
	return time.Duration(l.ttl.Load()), true
}
