// Package hook is the way in which package cluster, and nobody else, is told at once
// which entries have left a cache: OnEviction is called later, or not at all.
package hook

// OnLeft makes cache, a *cache.Cache[K, V], call f, a func(K), after an entry has left
// or was replaced. f runs without locks in the goroutine that caused it, which may be a
// caller's, so it must be quick and must not panic. OnLeft comes before the cache is
// used. Package cache sets it.
var OnLeft func(cache, f any)
