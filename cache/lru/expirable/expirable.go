package expirable

import (
	"math"
	"sync"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/hook"
)

// An EvictCallback is called for each entry that left an LRU.
type EvictCallback[K comparable, V any] func(key K, value V)

// An LRU holds entries that expire. Make one with [NewLRU]. All methods are safe for concurrent
// use. It has the methods of golang-lru and, besides, those of the cache.Cache in it, such as
// Fetch, FetchMany, SetTTL and Stats. Its goroutine starts with the first entry that has a TTL;
// Close stops it.
type LRU[K comparable, V any] struct {
	*cache.Cache[K, V]
	order hook.Order[K, V]

	// expiring is held while expired entries are removed and reported. Locking it waits for
	// the reports under way.
	expiring *sync.Mutex
}

const (
	unbounded = math.MaxInt / 2 // the capacity without a bound

	// Expired entries are removed every hundredth of the TTL, as in golang-lru, within these bounds:
	// the store files entries by the millisecond in which they expire.
	sweepsPerTTL = 100
	leastPause   = time.Millisecond
	mostPause    = time.Second
)

// NewLRU makes an LRU of that many entries, which expire ttl after they were added. If size is 0
// or less, their number has no bound. If ttl is 0 or less, they do not expire. It calls onEvict,
// unless that is nil, for each entry that left: that was evicted or removed, or has expired, but
// not for a value that was replaced. The package's comment describes when.
func NewLRU[K comparable, V any](
	size int, onEvict EvictCallback[K, V], ttl time.Duration,
) *LRU[K, V] {
	ttl = max(0, ttl)
	c, err := cache.New(cache.Options[K, V]{
		Capacity: capacityOf(size), TTL: ttl, Policy: cache.StrictLRU,
		ClockError: -1, // golang-lru reads the clock for each hit, too
	})
	if err != nil {
		panic(err) // a bug: all values are allowed
	}
	l := &LRU[K, V]{c, hook.OrderOf[K, V](c), new(sync.Mutex)}
	if onEvict != nil {
		l.order.OnRemoval(oneByOne(onEvict))
	}
	l.order.OnSweep(sweepPause(ttl), l.deleteExpired)
	return l
}

// sweepPause returns the pause between two removals of expired entries. Where ttl is 0, only an
// entry of SetTTL can expire.
func sweepPause(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return mostPause
	}
	return min(max(ttl/sweepsPerTTL, leastPause), mostPause)
}

// capacityOf returns the capacity of a cache for size entries.
func capacityOf(size int) int {
	if size <= 0 {
		return unbounded
	}
	return size
}

// oneByOne returns a function that calls f and waits for its other calls.
func oneByOne[K comparable, V any](f EvictCallback[K, V]) EvictCallback[K, V] {
	var mu sync.Mutex // held during a call of f
	return func(key K, value V) {
		mu.Lock()
		defer mu.Unlock()
		f(key, value)
	}
}

// deleteExpired removes the expired entries, and reports them.
func (l *LRU[K, V]) deleteExpired() {
	l.expiring.Lock()
	defer l.expiring.Unlock()
	l.order.Sweep()
}

// Add stores value for key and makes it the newest. It reports whether another entry was evicted
// for it that had not expired. A load of key that is under way does not overwrite value.
func (l *LRU[K, V]) Add(key K, value V) (evicted bool) { return l.order.Add(key, value) }

// Peek returns the value of key, if there is one, which does not count as used. It does not block.
func (l *LRU[K, V]) Peek(key K) (value V, ok bool) {
	value, _, ok = l.Cache.Peek(key)
	return value, ok
}

// Remove removes key, and reports whether it was there. A load of key that is under way does not
// store its result.
func (l *LRU[K, V]) Remove(key K) bool { return l.Delete(key) }

// RemoveOldest removes and returns the oldest entry, if there is any: the one that was not used for
// the longest time.
func (l *LRU[K, V]) RemoveOldest() (key K, value V, ok bool) {
	l.deleteExpired()
	return l.order.RemoveOldest()
}

// GetOldest returns the oldest entry, if there is any. It does not count as used.
func (l *LRU[K, V]) GetOldest() (key K, value V, ok bool) {
	l.deleteExpired()
	return l.order.Oldest()
}

// Keys returns the keys, from the oldest to the newest.
func (l *LRU[K, V]) Keys() []K {
	keys := make([]K, 0, l.Len())
	l.order.Each(func(key K, _ V) { keys = append(keys, key) })
	return keys
}

// Values returns the values, from the oldest to the newest.
func (l *LRU[K, V]) Values() []V {
	values := make([]V, 0, l.Len())
	l.order.Each(func(_ K, value V) { values = append(values, value) })
	return values
}

// Len returns the number of entries, without those that have expired.
func (l *LRU[K, V]) Len() int {
	l.deleteExpired()
	return l.Cache.Len()
}

// Cap returns the size, or 0 if the number of entries has no bound.
func (l *LRU[K, V]) Cap() int {
	if size := l.order.Capacity(); size != unbounded {
		return size
	}
	return 0
}

// Resize changes the size and returns the number of entries that were evicted, the oldest first. A
// size of 0 or less is no bound.
func (l *LRU[K, V]) Resize(size int) (evicted int) {
	l.deleteExpired()
	return l.order.Resize(capacityOf(size))
}

// Purge removes all entries, and calls the callback for each. Loads that are under way do not store
// their results.
func (l *LRU[K, V]) Purge() { l.Clear() }
