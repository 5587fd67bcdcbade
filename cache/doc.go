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
// exceptions: with [Adaptive], a hit that marks the entry of a sampled key is replayed in the
// models, under a lock that is only tried; with [LRU], in a shard of fewer than 512
// entries every hit moves its entry at once, under the shard's lock unless that is
// taken, so that a small cache is a strict LRU. With [StrictLRU] every hit does so, and
// waits for the lock.
//
// A hit reads six cache lines: two of the Cache, one of the shard, the bucket, the
// entry and, with a TTL, the clock. It writes one: its stripe. The shard's line
// changes with insertions and the clock's every half millisecond; the others hardly
// ever change. So hits of the same key do not wait for each other, even on 64
// cores. There are 16 stripes per core. Two goroutines that run at once and share a
// stripe pay for moving its cache line, and for nothing else.
//
// No key has a counter. [Cache.Hottest] estimates which keys are asked for most, from a sample that
// is taken where every 64th hit of a stripe looks at the clock.
//
// Each shard has a [Policy] that chooses which entry to evict. It reads the marks
// when it needs room. LRU gives an entry that was used a second chance: its hit
// ratio is mostly better than a strict LRU's, and at most one percentage point
// worse. TinyLFU estimates how often keys are asked for, including keys that are not
// stored, so that a scan or a loop does not flush the entries in use. [Adaptive], the
// default, finds out which of them, or what between them, has the most hits. A new
// value for a stored key takes the place of the old one, and counts as a use.
//
// # The life of an entry
//
//	stored ──── fresh ──── RefreshAt·TTL ──── due ──── TTL ──── stale ──── TTL+StaleFor ──── gone
//	            Get, Fetch give it            Fetch gives it,     Fetch loads; it gives the stale
//	                                          one loads behind    value if the load fails or is late
//
// Get, Contains, Keys and All give fresh values alone. [Cache.Peek] and [Cache.FetchResult]
// tell stale ones from fresh ones. A stale entry is evicted before all others of its shard,
// and reclaimed when it is gone. Delete, Clear and InvalidateTag end an entry in any state;
// Expire makes it stale.
//
// # Loading
//
// [Cache.Fetch] returns a cached value, or makes a [courier.Courier] run the fetch
// function once for all callers of the key. Package courier describes how a fetch
// may end and what its callers get: a panic, a runtime.Goexit or a time-out is an
// error for all of them at once, and the next Fetch of the key loads it again.
// The time-out is Options.Timeout; limits and back-off for failing keys are options of the
// courier ([Options].Courier).
//
// With Options.StaleFor, a load that fails, is refused, or is late gives its callers the
// value whose TTL has ended, instead of an error. A load is late after Options.SoftTimeout.
// It goes on in the background, and no further caller waits for it. A function that hangs is
// given up at the time-out, and the key is tried again now and then before that; see
// courier.ContextWithPatience.
//
// A fetch function returns [ErrNotFound] if there is no record. That is an answer and no
// failure: it ends a stale value, is remembered for Options.NotFoundTTL, and counts apart.
// The function sets the TTL of its result with [StoreFor], gets the value that it is to
// replace from [Previous], and returns [ErrNotModified] to keep that. [Cache.FetchMany] loads
// many keys with one call. [NewLoading] makes a cache that has its fetch functions from the
// start.
//
// A [Cache.Set], [Cache.Delete] or [Cache.Clear] during a flight wins: callers that
// wait for the flight get the loaded value, but it is not stored, and a Fetch that
// begins after the write does not join that flight. The same is true of
// [Cache.InvalidateTag], if the loaded value bears the tag. The result of a late flight that
// ends after a fresh one was started goes to its callers, but is not stored either. Errors are
// never stored: with courier.WithBackoff the callers of a failing key get a
// *courier.BackoffError, which wraps the last error, until its rest is over.
//
// With Options.RefreshAt, a Fetch of an entry that is due returns it and loads the key
// anew in the background, before its TTL ends. Loads that callers wait for take
// precedence over such refreshes, of which 128 run at a time.
//
// # A second level
//
// Without more, a deploy empties every cache at once, and an outage of the origin that outlasts the
// process leaves nothing to be stale. With Options.SecondLevel, what is loaded is also kept in a
// [Storage] outside the process, such as Valkey or Redis. It is used inside a flight:
//
//	miss ── what waits to be written ── Storage.Read ── fetch function ── stored ── Storage.Write
//	                                    at most SoftTimeout                         behind
//
// A fresh record is the result, for the rest of its TTL; its age is the time since it was loaded,
// wherever that was. A stale one becomes the stale value of the key, so that all that was said of
// stale values applies. A refresh takes a record that another process has loaded since.
// [Cache.Refresh] always calls its function. FetchMany reads all its keys with one call.
//
// The second level never makes a caller wait for longer than SoftTimeout, and no error of it is a
// caller's. If it fails or is late five times in a row, it is left alone but for one try each half
// second to second. Garbage, records of other formats or codecs, and large ones, count as misses.
// What is to be written is bounded, and dropped beyond that.
//
// Set, SetIfAbsent and Update write behind, too. Delete, Expire, InvalidateTag, Clear and a load
// that has found no record delete behind. A delete is tried until the second level has confirmed
// it, and until then its record is not believed by this cache. [Cache.Flush] waits for all of that;
// [Cache.Close] does so for SecondLevel.Timeout. Once a delete was flushed, what was loaded before
// it is not believed by any cache that misses: a load writes its result with the fence that it got
// when it began, and with the version that the log of invalidated tags had then, and neither
// compares the clocks of processes. Other processes that hold the entry still give it, for the rest
// of its TTL, unless the Storage is a [Notifier].
//
// A Set whose call has timed out may still reach the second level after a later Delete, since only
// loads have fences.
//
// # Leaving
//
// The cache holds at most Capacity entries and, with a Weigher, at most MaxWeight of
// weight. When there is no room, expired and stale entries are removed first, as far as a
// short search finds them; then the policy chooses. All shards share the room, and it is
// taken from those that hold more than their share. While several goroutines write
// at once, the bounds may be exceeded for a moment by the values being inserted.
//
// With Options.ShedAbove the cache also evicts entries when the process nears its
// memory limit (GOMEMLIMIT), before the garbage collector spends all processor time
// on staying below it.
//
// A value is not taken for fresh later than Options.ClockError after the end of its TTL.
// A background sweep reclaims entries that are gone once a second, at a bounded cost per
// sweep; until then [Cache.Len] counts them. The sweep's goroutine starts with the first
// entry that can expire, and [Cache.Close] stops it.
//
// # Memory
//
// An entry takes 16 bytes in addition to its key and value, subject to Go's size classes.
// The table and the eviction order add about 22 bytes, the counters of Adaptive and TinyLFU
// 8 to 16, and a TTL 24. StaleFor, RefreshAt or both add 24. The first tag adds about 40,
// each further one 26, and tags without these two options 24 once more. Entries are not
// linked to each other: for each, the garbage collector follows two pointers, three with a
// TTL, and those inside key and value.
//
// Memory is returned after a burst: a table is rebuilt when only a quarter of its
// peak is left, where a Go map would keep its size.
//
// # Reading the source
//
// Open fetch.go first: it is the life of a load, from Fetch to its end. Then read stale.go
// (what a caller gets instead of a failure), store.go (how a value is stored, and room made
// for it) and index.go (how an entry is found without a lock). The policies are in
// internal/evict. The second level begins in secondread.go; pending.go writes and deletes behind,
// and taglog.go decides what is believed.
package cache
