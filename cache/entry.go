package cache

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// never is the expiry of an entry without a TTL.
const never = math.MaxInt64

// An entry is immutable but for its marks: a new value is a new entry.
type entry[K comparable, V any] struct {
	key     K
	value   V
	shard   *shard[K, V]
	expires int64         // on the cache's clock; never: no TTL
	refresh atomic.Int64  // when Fetch should load it anew; never: not
	touched atomic.Uint32 // the shard's clock when it was last moved to the front
	weight  uint32
	heapAt  int32 // its place in shard.expiring, or -1; guarded by shard.mu
}

// expired reports whether e's time is up. An entry without a TTL costs no look
// at the clock.
func (c *Cache[K, V]) expired(e *entry[K, V]) bool {
	return e.expires != never && c.now() >= e.expires
}

// newEntry makes an entry that expires after ttl, less a random part of it.
func (c *Cache[K, V]) newEntry(s *shard[K, V], key K, value V, weight uint32, ttl time.Duration) *entry[K, V] {
	e := &entry[K, V]{key: key, value: value, shard: s, expires: never, weight: weight, heapAt: -1}
	e.refresh.Store(never)
	if ttl == 0 && c.refreshAfter == 0 {
		return e
	}
	now := c.now()
	if ttl > 0 {
		if c.jitter > 0 {
			ttl -= time.Duration(c.jitter * rand.Float64() * float64(ttl)) //nolint:gosec // no secret
		}
		e.expires = later(now, ttl)
	}
	if c.refreshAfter > 0 {
		e.refresh.Store(later(now, c.refreshAfter))
	}
	return e
}

// later is now plus d, or never if that is beyond the clock's end.
func later(now int64, d time.Duration) int64 {
	if int64(d) > never-now {
		return never
	}
	return now + int64(d)
}
