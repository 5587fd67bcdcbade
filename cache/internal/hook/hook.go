// Package hook lets package cluster, and no other package, do what the API of package cache does
// not offer.
package hook

import (
	"context"
	"time"
)

// Of returns the Store[K, V] of a *cache.Cache[K, V]. Package cache sets it.
var Of func(cache any) any

// A Store is a cache.Cache with more to do. Its methods are safe for concurrent use.
type Store[K comparable, V any] interface {
	// OnChange makes the cache call f after each entry that was stored or removed. f runs
	// without locks in the goroutine that did so, which may be a caller's, so it must be
	// quick, must not panic, and calls for one key may overtake each other: f looks at what
	// is there. OnChange must be called before the cache is used.
	OnChange(f func(K))

	// Fetch does what cache.Cache.FetchResult does, and a hit costs no more than one of
	// Fetch: instead is the Err of the Result.
	Fetch(
		ctx context.Context, key K, fetch func(context.Context, K) (V, error),
	) (value V, instead, err error)

	// Weight returns the weight of key's entry, fresh or stale, and whether there is one. It
	// takes no lock.
	Weight(key K) (weight uint32, ok bool)

	// Evict removes key's entry as if the cache were full.
	Evict(key K)

	// Shorten makes key's entry expire in ttl, unless it expires sooner, and removes it if ttl
	// is 0 or less. A stale entry stays.
	Shorten(key K, ttl time.Duration)

	// StoreFor sets the TTL of the result for key of this cache's load or batch that ctx belongs
	// to, as cache.StoreFor sets that of all its results. If ctx belongs to none it does nothing.
	StoreFor(ctx context.Context, key K, ttl time.Duration)

	// ForKey returns a context for a load of key that is made within this cache's batch that ctx
	// belongs to, so that cache.StoreFor and StoreTTL are about that key alone. done is called
	// when the load has ended.
	ForKey(ctx context.Context, key K) (child context.Context, done func())
}

// An Answer is an error of a fetch function that is the answer of another process: it is a failure,
// but not of this one's origin, so the key does not back off.
type Answer struct{ Err error } //nolint:errname // it is an answer

// Error returns that of Err.
func (a *Answer) Error() string { return a.Err.Error() }

// Unwrap returns Err.
func (a *Answer) Unwrap() error { return a.Err }
