// Package hook gives packages of this module access to a cache beyond the API of package cache: a
// [Store] to package cluster, and an [Order] to packages lru and expirable.
package hook

import (
	"context"
	"time"

	"github.com/snowfence/snowfence/courier"
)

// An Access holds the Store of the cache.Cache that embeds it, which is an Order, too. Its method
// is not exported, so that only Of and OrderOf can call it on the cache.
type Access struct{ store any }

// To returns an Access that holds s.
func To[K comparable, V any](s Store[K, V]) Access { return Access{s} }

func (a *Access) hooks() any { return a.store }

// Of returns the Store of a *cache.Cache[K, V].
func Of[K comparable, V any](cache interface{ hooks() any }) Store[K, V] {
	return cache.hooks().(Store[K, V]) //nolint:errcheck,forcetypeassert // else a bug of the caller
}

// A Store does for a cache.Cache what its API does not offer. The methods are safe for concurrent
// use.
type Store[K comparable, V any] interface {
	// OnChange makes the cache call f after it has stored or removed an entry. f runs without
	// locks in the goroutine that did so, which may be a caller's, so it must be quick and must
	// not panic. Calls for one key may overtake each other, so f has to look at the cache's
	// present state. OnChange must be called before the cache is used.
	OnChange(f func(K))

	// Fetch does what cache.Cache.FetchResult does, but a hit costs no more than one of
	// cache.Cache.Fetch. instead is the Err of the Result.
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
	// returns it, unless now is nil. If *now is 0, Hit sets it to the cache's time, so that this is
	// read once for several keys. ok is false, and nothing was counted, if a Fetch would begin a
	// load: if there is no such value, or it is due to be refreshed.
	Hit(key K, now *int64) (value V, ttl time.Duration, ok bool)

	// FetchMany does what cache.Cache.FetchMany does for keys that Hit has not found, and
	// returns an outcome for each of them. A missing record is an error here. load sets the
	// result of each key that it is given.
	FetchMany(
		ctx context.Context, keys []K, load func(ctx context.Context, keys []K, results []Loaded[V]),
	) []courier.Outcome[V]

	// TakeSecondLevel makes the cache leave its second level alone but for the following methods, and
	// reports whether it has one. confirmed is called with what RemoveSecond has not waited for, once
	// it was confirmed, by a goroutine that it must not block; tag "" stands for everything.
	// TakeSecondLevel must be called before the cache is used.
	TakeSecondLevel(confirmed func(keys []K, tags []string)) bool

	// Through returns what the second level has for the load of key in ctx, or calls fetch. What the
	// load returns is written to the second level. ctx is that of the load, or derived from it.
	Through(
		ctx context.Context, key K, fetch func(context.Context, K) (V, error),
	) (V, error)

	// ThroughMany does the same for the load of several keys in ctx. keys are all keys of the load.
	ThroughMany(
		ctx context.Context, keys []K, results []Loaded[V],
		fetch func(ctx context.Context, keys []K, results []Loaded[V]),
	)

	// RemoveSecond deletes keys in the second level and invalidates tags; "" stands for everything.
	// It waits until the second level has confirmed that, or for its Timeout, or until ctx ends,
	// and reports whether it has. It does not wait while the second level is down. What was not
	// confirmed is tried again until it is. It requires a second level.
	RemoveSecond(ctx context.Context, keys []K, tags []string) (confirmed bool)

	// Spread sets results to the result of each of keys, for which a fetch function of FetchMany
	// has returned values and err.
	Spread(keys []K, values map[K]V, err error, results []Loaded[V])

	// Apart returns a context for a load of some keys of a batch of this cache, in which
	// cache.StoreFor and StoreTTL change the TTL of these keys alone. ctx is that of the batch.
	Apart(ctx context.Context) context.Context
}

// A Loaded holds the result of one key, from a load of several keys.
type Loaded[V any] struct {
	Value  V
	Err    error
	TTL    time.Duration // as if set by cache.StoreFor for this key alone, with HasTTL
	HasTTL bool
}

// An Answer is an error of a fetch function that another process has answered. Since it is no
// failure of this process's origin, the key does not back off.
type Answer struct{ Err error } //nolint:errname // it is an answer

// Error returns the text of Err.
func (a *Answer) Error() string { return a.Err.Error() }

// Unwrap returns Err.
func (a *Answer) Unwrap() error { return a.Err }
