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

// An entry is immutable, except for its marks and its positions in queues: a new value or
// a new TTL is a new entry. Each kind of entry begins with the one before, and an entry is
// of the first kind that suffices, so that the others need no memory for the rest.
type entry[K comparable, V any] struct {
	evict.Node // first, so that a node's address is its entry's
	key        K
	value      V
}

// A timedEntry can expire.
type timedEntry[K comparable, V any] struct {
	entry[K, V]
	expires int64  // on the cache's clock, the end of the TTL; never: no TTL
	bucket  uint32 // of a wheel; shard.mu guards bucket and pos
	pos     uint32 // in the bucket
}

// A livedEntry can be stale, or be refreshed.
type livedEntry[K comparable, V any] struct {
	timedEntry[K, V]
	storedAt  int64
	refreshAt atomic.Int64 // when Fetch refreshes it; never: not at all, or a refresh is under way
	failure   atomic.Pointer[failure]
}

// A taggedEntry bears tags.
type taggedEntry[K comparable, V any] struct {
	livedEntry[K, V]
	tags []tagRef[K, V] // guarded by shard.mu
}

// The kinds of entries, stored in the reserved bits of an entry's Hash.
const (
	plain = iota // 0, so that Hash is the hash alone
	timed
	lived
	tagged
)

func (e *entry[K, V]) kind() uint32 { return e.Hash &^ hashMask }

// timed returns the timedEntry that e is a part of. e's kind must not be plain.
func (e *entry[K, V]) timed() *timedEntry[K, V] { return (*timedEntry[K, V])(unsafe.Pointer(e)) }

// lived returns the livedEntry that e is a part of. e's kind must be lived or tagged.
func (e *entry[K, V]) lived() *livedEntry[K, V] { return (*livedEntry[K, V])(unsafe.Pointer(e)) }

// tagged returns the taggedEntry that e is a part of. e's kind must be tagged.
func (e *entry[K, V]) tagged() *taggedEntry[K, V] { return (*taggedEntry[K, V])(unsafe.Pointer(e)) }

// entryOf returns the entry that n is the node of, nil for nil.
func entryOf[K comparable, V any](n *evict.Node) *entry[K, V] {
	return (*entry[K, V])(unsafe.Pointer(n))
}

// node returns e's node, nil for nil.
func (e *entry[K, V]) node() *evict.Node { return (*evict.Node)(unsafe.Pointer(e)) }

// expiry returns the time at which e's TTL ends, on the cache's clock, or never.
func (e *entry[K, V]) expiry() int64 {
	if e.kind() == plain {
		return never
	}
	return e.timed().expires
}

// expired reports whether e's TTL has ended, by the clock that hits use, so that all
// methods agree.
func (c *Cache[K, V]) expired(e *entry[K, V]) bool {
	expires := e.expiry()
	return expires != never && c.clock.reached(expires)
}

// gone reports whether e can't be given any more, not even as a stale value.
func (c *Cache[K, V]) gone(e *entry[K, V]) bool {
	expires := e.expiry()
	return expires != never && c.clock.reached(addTime(expires, c.staleFor))
}

// goneBy reports whether e is gone at now, on the cache's clock.
func (e *entry[K, V]) goneBy(now int64, staleFor time.Duration) bool {
	expires := e.expiry()
	return expires != never && addTime(expires, staleFor) <= now
}

// age returns the time since e was stored, or AgeUnknown.
func (c *Cache[K, V]) age(e *entry[K, V]) time.Duration {
	if e.kind() < lived {
		return AgeUnknown
	}
	return max(0, time.Duration(c.clock.now()-e.lived().storedAt))
}

// scheduled reports whether e belongs into one of its shard's wheels. Entries without a TTL
// do not, nor do those with a negative time: see [clock].
func (e *entry[K, V]) scheduled() bool {
	expires := e.expiry()
	return expires != never && expires >= 0
}

// newEntry makes an entry that expires after ttl, less the jitter, or does not expire if
// ttl is Forever.
func (c *Cache[K, V]) newEntry(
	hash uint32, key K, value V, weight uint32, ttl time.Duration, tags []string,
) *entry[K, V] {
	if ttl == Forever && !c.lives && len(tags) == 0 {
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
	e := c.entryUntil(hash, key, value, weight, now, expires, len(tags) > 0)
	if c.refreshAt > 0 {
		e.lived().refreshAt.Store(c.firstRefresh(now, expires))
	}
	return e
}

// entryUntil makes an entry that was stored at storedAt and expires at expires, both on the
// cache's clock. No refresh of it is due.
func (c *Cache[K, V]) entryUntil(
	hash uint32, key K, value V, weight uint32, storedAt, expires int64, bearsTags bool,
) *entry[K, V] {
	var e *timedEntry[K, V]
	switch {
	case bearsTags:
		hash |= tagged
		e = &new(taggedEntry[K, V]).timedEntry
	case c.lives:
		hash |= lived
		e = &new(livedEntry[K, V]).timedEntry
	default:
		hash |= timed
		e = new(timedEntry[K, V])
	}
	e.Hash, e.Weight, e.key, e.value, e.expires = hash, weight, key, value, expires
	if hash&^hashMask >= lived {
		l := e.lived()
		l.storedAt = storedAt
		l.refreshAt.Store(never)
	}
	return &e.entry
}

// addTime returns now plus d, or never if that overflows.
func addTime(now int64, d time.Duration) int64 {
	if now > 0 && int64(d) > never-now {
		return never
	}
	return now + int64(d)
}
