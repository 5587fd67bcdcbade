// Package cache is an in-process cache that loads each missing key once, and
// in which a fetch that is slow, stuck or dead does not pile up its callers.
//
// # Reading
//
// [Cache.Get] takes no lock that it could wait for: it reads a concurrent map
// (puzpuzpuz/xsync), checks the expiry and returns. What the eviction policy
// knows of recency follows lazily: a hit moves its entry to the front only if
// at least a sixteenth of the shard's entries have been inserted since the
// entry was moved last, and not at all if the shard's lock is taken just then.
// (memcached bumps an entry at most once a minute for the same reason. Counting
// insertions instead of seconds keeps the hit ratio at that of a strict LRU
// when entries turn over quickly, and costs nothing when they don't.) In
// shards of less than 512 entries every hit counts, so that a small cache is a
// strict LRU.
//
// # Loading
//
// [Cache.Fetch] returns a cached value or has a [courier.Courier] run the
// fetch function, once for all callers of the key. How a fetch may end and
// what its callers see then is described there: a panic, a runtime.Goexit or a
// time-out is an error for all of them at once, and the key works again
// afterwards. Time-outs, limits and back-off for failing keys are options of
// the courier ([Options].Courier).
//
// A [Cache.Set], [Cache.Delete] or [Cache.Clear] during a flight wins. The
// older loaded value is given to those who were waiting for it, but is not
// stored, and who comes later does not join the older flight. Errors are not
// cached, unless the courier is told to with courier.WithBackoff.
//
// A fetch function may say how its result is to be kept, with [StoreFor] and
// [NoStore].
//
// # Leaving
//
// The cache holds at most Capacity entries and, where a Weigher is given, at
// most MaxWeight of weight. What must go is decided by golang-lru's simplelru
// in each shard, where entries that have expired go first. Room is common to all
// shards, and it is taken from those that hold more than their share. With
// several writers at once the bounds may be exceeded for a moment by what they
// are inserting.
//
// An expired entry is never returned. Its memory is reclaimed by a background
// sweep, once a second, at a bounded cost per sweep; it counts in [Cache.Len]
// until then. The sweep's goroutine starts with the first entry that can expire
// and stops with [Cache.Close].
//
// Memory is given back after a burst: Go maps never shrink, so a shard rebuilds
// its tables when only a quarter of its peak is left.
package cache
