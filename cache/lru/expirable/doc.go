// Package expirable has the API of github.com/hashicorp/golang-lru/v2/expirable on a cache of
// package cache: change the import path, and the same value also has Fetch, which loads each
// missing key once and protects its callers from a load that fails, hangs or dies.
//
// What is the same: the order is that of a strict LRU, the size is exact, a size of 0 is no bound
// and a TTL of 0 no expiry, and the results are those of golang-lru. The callback runs before the
// method that removed the entry returns, one call at a time, and must not use the LRU, except for
// Get, Peek and Contains: it would wait for itself. For expired entries it runs in a goroutine of
// the cache, which looks for them every hundredth of the TTL, but not more often than every
// millisecond nor less often than every second.
//
// What differs:
//
//   - An entry is gone when its TTL ends. In golang-lru Contains, Keys, Len, GetOldest,
//     RemoveOldest, Remove and Add find it until the goroutine has come to it, and Values returns
//     a zero value for it.
//   - An entry that has expired and is not reported yet is reported before methods that list or
//     count the entries return, in their goroutine.
//   - The callback does not hold the lock of the cache: other callers can read meanwhile.
//   - A TTL of less than 100 ns does not panic.
//   - A key that does not equal itself, such as NaN, is not stored. In golang-lru it takes room.
//
// What is new: an [LRU] has all methods of a cache.Cache, on the same entries and in the same
// order. Close ends its goroutine, which golang-lru never does. SetTTL gives an entry a TTL of its
// own. An entry that a Fetch evicts is reported in the goroutine of the load, before Fetch returns;
// a panic of the callback there is an error of that Fetch, a *courier.PanicError.
//
// The order has its price: a hit waits for the lock of the cache, as in golang-lru. A cache.Cache
// with its own policies does not, and has options for stale values, refreshes, limits and more.
package expirable
