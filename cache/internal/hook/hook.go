// Package hook lets package cluster, and no other package, do what the API of package cache does
// not offer.
package hook

import (
	"context"
	"time"

	"github.com/snowfence/snowfence/courier"
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

	// Hit returns the fresh value of key and counts as a hit. ttl is the rest of its TTL, as Peek
	// returns it, unless now is nil. Hit sets *now to the cache's time if it is 0, so that it is
	// read once for several keys. ok is false, and nothing was counted, if a Fetch would begin a
	// load: if there is no such value, or it is due to be refreshed.
	Hit(key K, now *int64) (value V, ttl time.Duration, ok bool)

	// FetchMany does what cache.Cache.FetchMany does for keys that Hit has not found, and
	// returns an outcome for each of them. That there is no record is an error here. load sets
	// the result of each key that it is given.
	FetchMany(
		ctx context.Context, keys []K, load func(ctx context.Context, keys []K, results []Loaded[V]),
	) []courier.Outcome[V]

	// Spread sets results to what a fetch function of FetchMany, which was given keys, says of
	// each of them that has returned values and err.
	Spread(keys []K, values map[K]V, err error, results []Loaded[V])

	// Apart returns a context for a load of some keys that is made within this cache's batch that
	// ctx belongs to, so that cache.StoreFor and StoreTTL are about these keys alone.
	Apart(ctx context.Context) context.Context
}

// A Loaded is what a load of several keys has brought for one of them.
type Loaded[V any] struct {
	Value  V
	Err    error
	TTL    time.Duration // as if set by cache.StoreFor for this key alone, with HasTTL
	HasTTL bool
}

// An Answer is an error of a fetch function that is the answer of another process: it is a failure,
// but not of this one's origin, so the key does not back off.
type Answer struct{ Err error } //nolint:errname // it is an answer

// Error returns that of Err.
func (a *Answer) Error() string { return a.Err.Error() }

// Unwrap returns Err.
func (a *Answer) Unwrap() error { return a.Err }
