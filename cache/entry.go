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

// An entry is immutable, except for its marks and its positions in queues: a new value
// is a new entry. An entry that can expire, or is to be refreshed, is the first part of
// a larger struct, so that the others need no memory for that.
type entry[K comparable, V any] struct {
	evict.Node // first, so that a node's address is its entry's
	key        K
	value      V
}

type timedEntry[K comparable, V any] struct {
	entry[K, V]
	expires int64  // on the cache's clock; never: no TTL
	bucket  uint32 // of the wheel; shard.mu guards bucket and pos
	pos     uint32 // in the bucket
}

type refreshedEntry[K comparable, V any] struct {
	timedEntry[K, V]
	refreshAt atomic.Int64 // when Fetch loads it anew; never: a refresh is under way
}

// The kinds of entries, stored in the reserved bits of an entry's Hash.
const (
	plain = iota // 0, so that Hash is the hash alone
	timed
	refreshed
)

func (e *entry[K, V]) kind() uint32 { return e.Hash &^ hashMask }

// timed returns the timedEntry that e is a part of. e's kind must not be plain.
func (e *entry[K, V]) timed() *timedEntry[K, V] { return (*timedEntry[K, V])(unsafe.Pointer(e)) }

// refreshed returns the refreshedEntry that e is a part of. e's kind must be refreshed.
func (e *entry[K, V]) refreshed() *refreshedEntry[K, V] {
	return (*refreshedEntry[K, V])(unsafe.Pointer(e))
}

// entryOf returns the entry that n is the node of, nil for nil.
func entryOf[K comparable, V any](n *evict.Node) *entry[K, V] {
	return (*entry[K, V])(unsafe.Pointer(n))
}

// node returns e's node, nil for nil.
func (e *entry[K, V]) node() *evict.Node { return (*evict.Node)(unsafe.Pointer(e)) }

// expiry returns the time at which e expires, on the cache's clock, or never.
func (e *entry[K, V]) expiry() int64 {
	if e.kind() == plain {
		return never
	}
	return e.timed().expires
}

// expired reports whether e has expired, by the clock that hits use, so that all
// methods agree.
func (c *Cache[K, V]) expired(e *entry[K, V]) bool {
	expires := e.expiry()
	return expires != never && c.clock.reached(expires)
}

// scheduled reports whether e belongs into its shard's wheel. Entries without a TTL do
// not, nor do those with a negative time: see [clock].
func (e *entry[K, V]) scheduled() bool {
	expires := e.expiry()
	return expires != never && expires >= 0
}

// newEntry makes an entry that expires after ttl, less the jitter, or does not expire if
// ttl is Forever.
func (c *Cache[K, V]) newEntry(
	hash uint32, key K, value V, weight uint32, ttl time.Duration,
) *entry[K, V] {
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

// addTime returns now plus d, or never if that overflows.
func addTime(now int64, d time.Duration) int64 {
	if now > 0 && int64(d) > never-now {
		return never
	}
	return now + int64(d)
}
