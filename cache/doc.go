// Package cache is an in-process cache that loads each missing key once. A fetch
// that is slow, hangs or dies does not pile up its callers.
//
// # Reading
//
// [Cache.Get] waits for no lock and allocates nothing. It finds the entry in a hash
// table whose buckets are cache lines, compares its expiry with the clock, and
// counts the hit in one of many stripes. While hits are many, one goroutine reads
// the system's clock for all of them (see Options.ClockError).
//
// A hit writes to no cache line that other cores use, except for a mark in the
// entry that the policy reads later. It writes that mark at most once while a
// sixteenth of the shard's entries are inserted, so hits scale with the cores. The
// exception: in an LRU shard of fewer than 512 entries every hit moves its entry at
// once, under the shard's lock unless that is taken, so that a small cache is a
// strict LRU.
//
// A hit reads six cache lines: two of the Cache, one of the shard, the bucket, the
// entry and, with a TTL, the clock. It writes one: its stripe. The shard's line
// changes with insertions and the clock's every half millisecond; the others hardly
// ever change. So hits of the same key do not wait for each other, even on 64
// cores. There are 16 stripes per core. Two goroutines that run at once and share a
// stripe pay for moving its cache line, and for nothing else.
//
// Each shard has a [Policy] that chooses which entry to evict. It reads the marks
// when it needs room. LRU gives an entry that was used a second chance: its hit
// ratio is mostly better than a strict LRU's, and at most one percentage point
// worse. TinyLFU estimates how often keys are asked for, including keys that are not
// stored, so that a scan or a loop does not flush the entries in use. A new value
// for a stored key takes the place of the old one, and counts as a use.
//
// # Loading
//
// [Cache.Fetch] returns a cached value, or makes a [courier.Courier] run the fetch
// function once for all callers of the key. Package courier describes how a fetch
// may end and what its callers get: a panic, a runtime.Goexit or a time-out is an
// error for all of them at once, and the next Fetch of the key loads it again.
// Time-outs, limits and back-off for failing keys are options of the courier
// ([Options].Courier).
//
// A [Cache.Set], [Cache.Delete] or [Cache.Clear] during a flight wins: callers who
// wait for the flight get the loaded value, but it is not stored, and a Fetch that
// begins after the write does not join that flight. What a late flight brings after a
// fresh one was started is given to its callers, but not stored either. Errors are
// never stored: with courier.WithBackoff the callers of a failing key get a
// *courier.BackoffError, which wraps the last error, until its rest is over.
//
// A fetch function sets the TTL of its result with [StoreFor], which can also keep
// the result from being stored.
//
// With Options.RefreshAfter, a Fetch of an older entry returns it and loads the key
// anew in the background, before the entry expires. Loads that callers wait for take
// precedence over such refreshes, of which 128 run at a time.
//
// # Leaving
//
// The cache holds at most Capacity entries and, with a Weigher, at most MaxWeight of
// weight. When there is no room, expired entries are removed first, as far as a short
// search finds them; then the policy chooses. All shards share the room, and it is
// taken from those that hold more than their share. While several goroutines write
// at once, the bounds may be exceeded for a moment by the values being inserted.
//
// With Options.ShedAbove the cache also evicts entries when the process nears its
// memory limit (GOMEMLIMIT), before the garbage collector spends all processor time
// on staying below it.
//
// An expired entry is not returned later than Options.ClockError after its expiry.
// A background sweep reclaims its memory once a second, at a bounded cost per sweep;
// until then [Cache.Len] counts it. The sweep's goroutine starts with the first
// entry that can expire, and [Cache.Close] stops it.
//
// # Memory
//
// An entry takes 32 bytes besides its key and value, subject to Go's size classes.
// The table and the eviction order add about 20 bytes, and a TTL 24. Entries are not
// linked to each other: for each, the garbage collector follows two pointers, three
// with a TTL, and those inside key and value.
//
// Memory is returned after a burst: a table is rebuilt when only a quarter of its
// peak is left, where a Go map would keep its size.
//
// # Reading the source
//
// Begin with Fetch in fetch.go, the life of a load. Then read store.go, which makes
// room for a value, and index.go, which finds an entry without a lock. The policies
// are in internal/evict.
package cache
