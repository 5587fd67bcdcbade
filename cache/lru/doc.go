// Package lru has the API of lru.Cache in github.com/hashicorp/golang-lru/v2 on a cache of package
// cache: change the import path, and the same value also has Fetch, which loads each missing key
// once and protects its callers from a load that fails, hangs or dies.
//
// What is the same: the order is that of a strict LRU, the size is exact, each method is atomic,
// the results are those of golang-lru, and the function of NewWithEvict runs without locks in the
// goroutine that called the method, before that method returns.
//
// What differs:
//
//   - Resize to less than 1 evicts all entries and makes the size 1. In golang-lru no later Add
//     stores anything.
//   - Where New fails, it returns nil with the error.
//   - Purge calls the function while other callers may use the cache; the order of the calls is
//     random in both.
//   - A key that does not equal itself, such as NaN, is not stored. In golang-lru it takes room.
//   - There are no TwoQueueCache, New2Q and DefaultEvictedBufferSize, and no package simplelru.
//
// What is new: a [Cache] has all methods of a cache.Cache, on the same entries and in the same
// order. An entry that a Fetch evicts is reported in the goroutine of the load, before Fetch
// returns; a panic of the function there is an error of that Fetch, a *courier.PanicError.
//
// The order has its price: a hit waits for the lock of the cache, as in golang-lru. A cache.Cache
// with its own policies does not, and has options for stale values, refreshes, limits and more.
// Package [github.com/snowfence/snowfence/cache/lru/expirable] has entries with a TTL.
package lru
