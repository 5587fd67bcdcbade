// Package cache is an in-process cache that loads each missing key once, and
// in which a fetch that is slow, stuck or dead does not pile up its callers.
//
// # Reading
//
// [Cache.Get] takes no lock and allocates nothing: it finds the entry in a table
// whose buckets are cache lines, compares its expiry with a clock that is kept
// for all (see Options.ClockError), and counts the hit in one of many stripes. It
// writes to no cache line that other cores use but the entry's own mark, and to
// that at most once in the time in which a sixteenth of the shard's entries are
// inserted. So hits scale with the cores. One exception: in a cache of less than
// 512 entries every hit counts at once, so that a small cache is a strict LRU.
//
// Counted in cache lines, a hit reads six: two of the Cache, one of the shard, the
// bucket, the entry and, with a TTL, the clock's, and writes one, its stripe. Of
// those that it reads, the shard's changes with insertions, the clock's every half
// millisecond, and the others hardly ever, so that on 64 cores hits of the same
// key do not wait for each other. There are 16 stripes per core; two goroutines that
// run at once and share one pay for a line that moves, and nothing else.
//
// What stays is decided by a [Policy] in each shard. Hits leave marks, and the
// policy reads them when it needs room. LRU gives an entry that was used another
// turn: the hit ratio is mostly better than a strict LRU's, and at most a point
// worse.
// TinyLFU weighs how often keys are asked for, also those that are not stored, so
// that a scan or a loop does not flush what is in use. A value that is set anew
// keeps the place of the old one, and counts as a use.
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
// A fetch function may say how long its result is to be kept, or that it is not, with
// [StoreFor].
//
// With Options.RefreshAfter an entry that is asked for is loaded anew in the background
// before it expires. Such a load yields to those that callers wait for, and 128 run at
// a time.
//
// # Leaving
//
// The cache holds at most Capacity entries and, where a Weigher is given, at
// most MaxWeight of weight. When there is no room the policy chooses what goes,
// but entries that have expired go first, as far as a short look finds them. Room
// is common to all shards, and it is taken from those that hold more than their
// share. With several writers at once the bounds may be exceeded for a moment by
// what they are inserting.
//
// With Options.ShedAbove the cache also gives up entries while the process nears
// its memory limit (GOMEMLIMIT), before the garbage collector takes all of the
// processor to stay below it.
//
// An expired entry is not returned, or no later than Options.ClockError after its
// time. Its memory is reclaimed by a background sweep, once a second, at a bounded
// cost per sweep; it counts in [Cache.Len] until then. The sweep's goroutine starts
// with the first entry that can expire and stops with [Cache.Close].
//
// # Memory
//
// An entry is 32 bytes beside its key and value, less what Go's size classes add
// or the pair leaves free; the table and the order of eviction add some 20, and a
// TTL 24. Nothing links entries to each other: the garbage collector follows two
// pointers to each, three with a TTL, and those that key and value have.
//
// Memory is given back after a burst: tables are rebuilt when only a quarter of
// their peak is left, where a Go map would keep its size.
package cache
