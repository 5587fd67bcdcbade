// Package hook lets package cluster, and no other package, observe at once which entries leave a
// cache. OnEviction does not serve for that: it is called later, or not at all.
package hook

// OnLeft makes cache, a *cache.Cache[K, V], call f, a func(K), after each entry that was removed
// or replaced. f runs without locks in the goroutine that removed the entry, which may be a
// caller's, so it must be quick and must not panic. OnLeft must be called before the cache is
// used. Package cache sets it.
var OnLeft func(cache, f any)
