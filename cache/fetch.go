package cache

import (
	"context"
	"math"
	"time"
	"unsafe"
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

// begin registers l as the load whose result may be stored for its key, or returns
// the live entry that makes it needless.
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

// load calls fetch in the flight ctx and stores what it returns, if l is still
// registered then. s is the shard of l.
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
	keep := time.Duration(l.ttl.Load())
	var weight uint32
	if keep > 0 {
		weight = c.weigh(l.key, v)
	}
	if ctx.Err() != nil {
		// Past its end a flight has no say: its callers have been told otherwise.
		return v, nil
	}
	open = false
	if keep > 0 {
		c.store(s, l.hash, l.key, v, weight, keep, l) // ends the registration, too
	} else {
		c.discard(s, l)
	}
	return v, nil
}

// discard unregisters l, whose result is not to be stored. What it was to replace is
// outdated and goes.
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

// finish unregisters l, if it is registered.
func (s *shard[K, V]) unregister(l *load[K]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loads.has(l) {
		s.loads.remove(l.hash, l.key)
	}
}

// Forever is the TTL of an entry that does not expire, but stays until it is evicted.
const Forever time.Duration = math.MaxInt64

// StoreFor is called by a fetch function, with the context it was given, to have
// its result stored for ttl instead of the cache's TTL: for example as long as an
// HTTP response's max-age says. If ttl is 0 or less the result is given to those who
// wait for it but not stored, and if the load was to refresh an entry, that entry
// goes: it is outdated. [Forever] means until it is evicted. The options' TTLJitter
// is taken off as usual. The last call before the function returns counts. StoreFor
// reports whether ctx belongs to a load; otherwise it does nothing.
func StoreFor(ctx context.Context, ttl time.Duration) bool {
	l, ok := ctx.Value(loadKey{}).(*loadState)
	if ok {
		l.ttl.Store(int64(ttl))
	}
	return ok
}

// StoreTTL returns how long the result of the load in ctx is to be stored, as far as
// is known: the cache's TTL, or what StoreFor said last. [Forever] means until it is
// evicted, and 0 or less that it is not stored. ok is false if ctx does not belong to
// a load.
func StoreTTL(ctx context.Context) (ttl time.Duration, ok bool) {
	l, ok := ctx.Value(loadKey{}).(*loadState)
	if !ok {
		return 0, false
	}
	return time.Duration(l.ttl.Load()), true
}
