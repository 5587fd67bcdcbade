package benchmarks

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	grouplru "github.com/golang/groupcache/lru"
	groupflight "github.com/golang/groupcache/singleflight"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/jellydator/ttlcache/v3"
	"github.com/maypok86/otter/v2"
	"github.com/snowfence/snowfence/cache"
	snowlru "github.com/snowfence/snowfence/cache/lru"
	snowexpirable "github.com/snowfence/snowfence/cache/lru/expirable"
	"github.com/stretchr/testify/require"
	"github.com/viccon/sturdyc"
	"golang.org/x/sync/singleflight"
)

// keys are the types of keys in benchmarks.
type keys interface{ int | string }

// A loader loads the value of a missing key.
type loader[K keys, V any] func(ctx context.Context, key K) (V, error)

// A subject is a cache of a library, ready for use.
type subject[K keys, V any] struct {
	get   func(key K) (V, bool)
	set   func(key K, value V)
	del   func(key K)
	fetch func(ctx context.Context, key K) (V, error)
	all   iter.Seq2[K, V] // nil: it has no iteration over pairs
	wait  func()          // nil: values can be read as soon as they are set
}

// A library makes subjects of capacity entries with a TTL; 0: none.
type library[K keys, V any] struct {
	name  string
	timed bool // it has expiry
	make  func(tb testing.TB, capacity int, ttl time.Duration, load loader[K, V]) subject[K, V]
}

// libraries returns the libraries that can be used with these types.
func libraries[K keys, V any]() []library[K, V] {
	all := []library[K, V]{
		{"snowfence", true, newSnowfence[K, V]},
		{"snowfence-lru", true, newSnowfenceLRU[K, V]},
		{"otter", true, newOtter[K, V]},
		{"theine", true, newTheine[K, V]},
		{"ristretto", true, newRistretto[K, V]},
		{"golang-lru", true, newGolangLRU[K, V]},
		{"ttlcache", true, newTTLCache[K, V]},
		{"groupcache", false, newGroupcache[K, V]},
	}
	if more, ok := any([]library[string, V]{{"sturdyc", true, newSturdyc[V]}}).([]library[K, V]); ok {
		all = append(all, more...)
	}
	return all
}

func newSnowfence[K keys, V any](
	tb testing.TB, capacity int, ttl time.Duration, load loader[K, V],
) subject[K, V] {
	tb.Helper()
	c, err := cache.New(cache.Options[K, V]{Capacity: capacity, TTL: ttl})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return subject[K, V]{
		get: c.Get, set: c.Set, del: func(key K) { c.Delete(key) }, all: c.All(),
		fetch: func(ctx context.Context, key K) (V, error) { return c.Fetch(ctx, key, load) },
	}
}

// newSnowfenceLRU uses the packages that have golang-lru's API.
func newSnowfenceLRU[K keys, V any](
	tb testing.TB, capacity int, ttl time.Duration, load loader[K, V],
) subject[K, V] {
	tb.Helper()
	var c interface {
		Get(key K) (V, bool)
		Add(key K, value V) bool
		Remove(key K) bool
		Fetch(ctx context.Context, key K, load func(context.Context, K) (V, error)) (V, error)
		All() iter.Seq2[K, V]
		Close() error
	}
	if ttl > 0 {
		c = snowexpirable.NewLRU[K, V](capacity, nil, ttl)
	} else {
		plain, err := snowlru.New[K, V](capacity)
		require.NoError(tb, err)
		c = plain
	}
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return subject[K, V]{
		get: c.Get, set: func(key K, value V) { c.Add(key, value) }, del: func(key K) { c.Remove(key) },
		fetch: func(ctx context.Context, key K) (V, error) { return c.Fetch(ctx, key, load) },
		all:   c.All(),
	}
}

func newOtter[K keys, V any](
	tb testing.TB, capacity int, ttl time.Duration, load loader[K, V],
) subject[K, V] {
	tb.Helper()
	o := &otter.Options[K, V]{MaximumSize: capacity}
	if ttl > 0 {
		o.ExpiryCalculator = otter.ExpiryWriting[K, V](ttl)
	}
	c, err := otter.New(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { c.StopAllGoroutines() })
	return subject[K, V]{
		get: c.GetIfPresent, set: func(key K, value V) { c.Set(key, value) },
		del: func(key K) { c.Invalidate(key) },
		all: c.All(), wait: c.CleanUp,
		fetch: func(ctx context.Context, key K) (V,
			error) {
			return c.Get(ctx, key, otter.LoaderFunc[K, V](load))
		},
	}
}

func newTheine[K keys, V any](
	tb testing.TB, capacity int, ttl time.Duration, load loader[K, V],
) subject[K, V] {
	tb.Helper()
	// A loading cache has no lookup without a load, so there is one cache for fetch, which is made
	// on demand, and one for the rest.
	loading := sync.OnceValue(func() *theine.LoadingCache[K, V] {
		c, err := theine.NewBuilder[K, V](int64(capacity)).BuildWithLoader(
			func(ctx context.Context, key K) (theine.Loaded[V], error) {
				v, err := load(ctx, key)
				return theine.Loaded[V]{Value: v, Cost: 1, TTL: ttl}, err
			})
		require.NoError(tb, err)
		tb.Cleanup(c.Close)
		return c
	})
	plain, err := theine.NewBuilder[K, V](int64(capacity)).Build()
	require.NoError(tb, err)
	tb.Cleanup(plain.Close)
	set := func(key K, value V) { plain.Set(key, value, 1) }
	if ttl > 0 {
		set = func(key K, value V) { plain.SetWithTTL(key, value, 1, ttl) }
	}
	return subject[K, V]{
		get: plain.Get, set: set, del: plain.Delete, wait: plain.Wait,
		fetch: func(ctx context.Context, key K) (V, error) { return loading().Get(ctx, key) },
		all:   func(yield func(K, V) bool) { plain.Range(yield) },
	}
}

func newRistretto[K keys, V any](
	tb testing.TB, capacity int, ttl time.Duration, load loader[K, V],
) subject[K, V] {
	tb.Helper()
	c, err := newRistrettoCache[K, V](capacity)
	require.NoError(tb, err)
	tb.Cleanup(c.close)
	set := func(key K, value V) { c.set(key, value, ttl) }
	return subject[K, V]{get: c.get, set: set, del: c.del, wait: c.wait,
		fetch: around(c.get, set, load)}
}

// ristrettoCache adapts ristretto, which has a different constraint on keys.
type ristrettoCache[K keys, V any] struct {
	get         func(K) (V, bool)
	set         func(K, V, time.Duration)
	del         func(K)
	wait, close func()
}

func newRistrettoCache[K keys, V any](capacity int) (ristrettoCache[K, V], error) {
	c, err := ristretto.NewCache(&ristretto.Config[K, V]{
		NumCounters: 10 * int64(capacity), MaxCost: int64(capacity), BufferItems: 64,
		IgnoreInternalCost: true,
	})
	if err != nil {
		return ristrettoCache[K, V]{}, err
	}
	return ristrettoCache[K, V]{
		get: c.Get, del: c.Del, wait: c.Wait, close: c.Close,
		set: func(key K, value V, ttl time.Duration) { c.SetWithTTL(key, value, 1, ttl) },
	}, nil
}

// around returns a fetch as services write it for a cache without a loader, with
// x/sync/singleflight.
func around[K keys, V any](
	get func(K) (V, bool), set func(K, V), load loader[K, V],
) func(context.Context, K) (V, error) {
	var flights singleflight.Group
	return aroundWith(func(key string, f func() (any, error)) (any, error) {
		v, err, _ := flights.Do(key, f)
		return v, err
	}, get, set, load)
}

// aroundWith does the same with another function that runs one load per key.
func aroundWith[K keys, V any](
	do func(key string, f func() (any, error)) (any, error), get func(K) (V, bool), set func(K, V),
	load loader[K, V],
) func(context.Context, K) (V, error) {
	return func(ctx context.Context, key K) (V, error) {
		if v, ok := get(key); ok {
			return v, nil
		}
		v, err := do(name(key), func() (any, error) {
			v, err := load(ctx, key)
			if err == nil {
				set(key, v)
			}
			return v, err
		})
		if err != nil {
			var none V
			return none, err
		}
		return v.(V), nil //nolint:errcheck,forcetypeassert // put there above
	}
}

// name returns the key as a string, for x/sync/singleflight.
func name[K keys](key K) string {
	if s, ok := any(key).(string); ok {
		return s
	}
	return fmt.Sprint(key)
}

func newGolangLRU[K keys, V any](
	tb testing.TB, capacity int, ttl time.Duration, load loader[K, V],
) subject[K, V] {
	tb.Helper()
	var c interface {
		Get(key K) (V, bool)
		Peek(key K) (V, bool)
		Add(key K, value V) bool
		Remove(key K) bool
		Keys() []K
	}
	if ttl > 0 {
		c = expirable.NewLRU[K, V](capacity, nil, ttl)
	} else {
		plain, err := lru.New[K, V](capacity)
		require.NoError(tb, err)
		c = plain
	}
	set := func(key K, value V) { c.Add(key, value) }
	return subject[K, V]{
		get: c.Get, set: set, del: func(key K) { c.Remove(key) }, fetch: around(c.Get, set, load),
		all: func(yield func(K, V) bool) {
			for _, key := range c.Keys() {
				if v, ok := c.Peek(key); ok && !yield(key, v) {
					return
				}
			}
		},
	}
}

func newTTLCache[K keys, V any](
	tb testing.TB, capacity int, ttl time.Duration, load loader[K, V],
) subject[K, V] {
	tb.Helper()
	if ttl == 0 {
		ttl = ttlcache.NoTTL
	}
	c := ttlcache.New(
		ttlcache.WithCapacity[K, V](uint64(capacity)), ttlcache.WithTTL[K, V](ttl),
		ttlcache.WithDisableTouchOnHit[K, V]())
	go c.Start()
	tb.Cleanup(c.Stop)
	get := func(key K) (v V, ok bool) {
		if item := c.Get(key); item != nil {
			return item.Value(), true
		}
		return v, false
	}
	set := func(key K, value V) { c.Set(key, value, ttlcache.DefaultTTL) }
	suppressed := ttlcache.NewSuppressedLoader(
		ttlcache.LoaderFunc[K, V](func(c *ttlcache.Cache[K, V], key K) *ttlcache.Item[K, V] {
			v, err := load(context.Background(), key) // it has no context to give
			if err != nil {
				return nil
			}
			return c.Set(key, v, ttlcache.DefaultTTL)
		}), nil)
	return subject[K, V]{
		get: get, set: set, del: c.Delete,
		fetch: func(_ context.Context, key K) (v V, err error) {
			item := c.Get(key, ttlcache.WithLoader[K, V](suppressed))
			if item == nil {
				return v, errLoad
			}
			return item.Value(), nil
		},
		all: func(yield func(K, V) bool) {
			c.Range(func(item *ttlcache.Item[K, V]) bool { return yield(item.Key(), item.Value()) })
		},
	}
}

// newGroupcache uses the parts of golang/groupcache, its lru behind a mutex and its singleflight: a
// Group stores only bytes, and has no expiry.
func newGroupcache[K keys, V any](
	_ testing.TB, capacity int, _ time.Duration, load loader[K, V],
) subject[K, V] {
	var mu sync.Mutex
	c := grouplru.New(capacity)
	get := func(key K) (v V, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		x, ok := c.Get(key)
		if !ok {
			return v, false
		}
		return x.(V), true //nolint:errcheck,forcetypeassert // only those are put in
	}
	set := func(key K, value V) {
		mu.Lock()
		defer mu.Unlock()
		c.Add(key, value)
	}
	var flights groupflight.Group
	return subject[K, V]{
		get: get, set: set,
		del: func(key K) {
			mu.Lock()
			defer mu.Unlock()
			c.Remove(key)
		},
		fetch: aroundWith(flights.Do, get, set, load),
	}
}

func newSturdyc[V any](
	tb testing.TB, capacity int, ttl time.Duration, load loader[string, V],
) subject[string, V] {
	tb.Helper()
	if ttl == 0 {
		ttl = 1000 * time.Hour // a TTL is required
	}
	c := sturdyc.New[V](capacity, 64, ttl, 10)
	return subject[string, V]{
		get: c.Get, set: func(key string, value V) { c.Set(key, value) }, del: c.Delete,
		fetch: func(ctx context.Context, key string) (V, error) {
			return c.GetOrFetch(ctx, key, func(ctx context.Context) (V, error) { return load(ctx, key) })
		},
	}
}
