package hook

import "time"

// OrderOf returns the Order of a *cache.Cache[K, V].
func OrderOf[K comparable, V any](cache interface{ hooks() any }) Order[K, V] {
	return cache.hooks().(Order[K, V]) //nolint:errcheck,forcetypeassert // else a bug of the caller
}

// An Order does for a cache.Cache with the policy StrictLRU what packages lru and expirable need
// and its API does not offer. The methods are safe for concurrent use. Those that store or remove
// entries are atomic, and do not return before the function of OnRemoval has.
type Order[K comparable, V any] interface {
	// OnRemoval makes the cache call f for each entry that left it, but not for one that was
	// replaced. f runs without locks in the goroutine that removed the entry, which may be one of
	// the cache. OnRemoval must be called before the cache is used.
	OnRemoval(f func(key K, value V))

	// OnSweep makes the cache call sweep, in a goroutine of its own, every pause from the first
	// entry with a TTL on, instead of removing expired entries once a second itself. sweep is to
	// call Sweep. OnSweep must be called before the cache is used.
	OnSweep(pause time.Duration, sweep func())

	// Sweep removes all expired entries.
	Sweep()

	// Add does what cache.Cache.Set does, and reports whether a fresh entry was evicted.
	Add(key K, value V) (evicted bool)

	// AddIfAbsent does what Add does, unless there is a fresh value: then it returns that.
	AddIfAbsent(key K, value V) (present V, found, evicted bool)

	// Oldest returns the fresh entry that was not used for the longest time, if there is any.
	Oldest() (key K, value V, ok bool)

	// RemoveOldest deletes and returns the entry that Oldest returns.
	RemoveOldest() (key K, value V, ok bool)

	// Each calls f for each fresh entry, from the oldest to the newest. f must not use the cache.
	Each(f func(key K, value V))

	// Resize evicts entries until no more than capacity are left, and returns the number of those
	// that were fresh. Options.Capacity is capacity from then on, or 1 if that is less.
	Resize(capacity int) (evicted int)

	// Capacity returns the present capacity.
	Capacity() int
}
