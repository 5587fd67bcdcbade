package cache

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/snowfence/snowfence/cache/internal/evict"
)

// never is the expiry of an entry without a TTL.
const never = math.MaxInt64

// An entry is immutable but for its marks and places: a new value is a new
// entry. An entry that can expire, or is to be refreshed, is the first part of
// something larger, so that others do not pay for it.
type entry[K comparable, V any] struct {
	evict.Node // first, so that an entry is found from its node
	key        K
	value      V
}

type timedEntry[K comparable, V any] struct {
	entry[K, V]
	expires int64  // on the cache's clock; never: no TTL
	bucket  uint32 // of the wheel; guarded by shard.mu, as is at
	pos     uint32 // its place in the bucket
}

type refreshedEntry[K comparable, V any] struct {
	timedEntry[K, V]
	refreshAt atomic.Int64 // when Fetch should load it anew; never: not, or it is under way
}

// What an entry is part of, in the bits of its Hash that are not the hash's.
const (
	plain = iota // 0, so that it is the hash alone
	timed
	refreshed
)

func (e *entry[K, V]) kind() uint32 { return e.Hash &^ hashMask }

// timed is what e is the first part of, if its kind is not plain.
func (e *entry[K, V]) timed() *timedEntry[K, V] { return (*timedEntry[K, V])(unsafe.Pointer(e)) }

// refreshed is what e is the first part of, if its kind is refreshed.
func (e *entry[K, V]) refreshed() *refreshedEntry[K, V] {
	return (*refreshedEntry[K, V])(unsafe.Pointer(e))
}

// entryOf is the entry whose node n is.
func entryOf[K comparable, V any](n *evict.Node) *entry[K, V] {
	return (*entry[K, V])(unsafe.Pointer(n))
}

// nodeOf is e's node, nil if e is.
func (e *entry[K, V]) node() *evict.Node { return (*evict.Node)(unsafe.Pointer(e)) }

// expiry is when e's time is up, on the cache's clock.
func (e *entry[K, V]) expiry() int64 {
	if e.kind() == plain {
		return never
	}
	return e.timed().expires
}

// expired reports whether e's time is up, by the clock that hits go by, so that all
// agree. An entry without a TTL costs no look at it.
func (c *Cache[K, V]) expired(e *entry[K, V]) bool {
	expires := e.expiry()
	return expires != never && c.clock.reached(expires)
}

// scheduled reports whether e is in its shard's order of expiry, so that the sweep
// finds it. What was stored in another time is not: see [clock].
func (e *entry[K, V]) scheduled() bool {
	expires := e.expiry()
	return expires != never && expires >= 0
}

// newEntry makes an entry that expires after ttl, less a random part of it; Forever:
// it does not expire.
func (c *Cache[K, V]) newEntry(hash uint32, key K, value V, weight uint32, ttl time.Duration) *entry[K, V] {
	if ttl == Forever && c.refreshAfter == 0 {
		return &entry[K, V]{evict.Node{Hash: hash, Weight: weight}, key, value}
	}
	now := c.clock.now()
	expires := int64(never)
	if ttl != Forever {
		if c.jitter > 0 {
			ttl -= time.Duration(c.jitter * rand.Float64() * float64(ttl)) //nolint:gosec // no secret
		}
		expires = addTime(now, ttl)
	}
	if c.refreshAfter == 0 {
		e := &timedEntry[K, V]{expires: expires}
		e.Hash, e.Weight, e.key, e.value = hash|timed, weight, key, value
		return &e.entry
	}
	e := &refreshedEntry[K, V]{}
	e.Hash, e.Weight, e.key, e.value, e.expires = hash|refreshed, weight, key, value, expires
	e.refreshAt.Store(c.nextRefresh(now))
	return &e.entry
}

// later is now plus d, or never if that is beyond the clock's end.
func addTime(now int64, d time.Duration) int64 {
	if now > 0 && int64(d) > never-now {
		return never
	}
	return now + int64(d)
}
