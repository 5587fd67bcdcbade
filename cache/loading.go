package cache

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// A Fetcher is a cache with its own fetch functions: a *[Loading], or a *cluster.Cache. A
// function that takes a Fetcher works with both, and with a fake in its tests.
type Fetcher[K comparable, V any] interface {
	// Fetch returns the value of key, and loads it if need be: see Cache.Fetch.
	Fetch(ctx context.Context, key K) (V, error)

	// FetchMany returns the values of keys, and loads the missing ones: see Cache.FetchMany.
	FetchMany(ctx context.Context, keys []K) (map[K]V, error)

	// Get returns the fresh value of key, if there is one here. It does not block.
	Get(key K) (V, bool)
}

// A Loading is a Cache with its own fetch functions, so that all callers that miss a key wait
// for the same function. It has all methods of [Cache]; those that take a fetch function are
// replaced by methods that do not.
type Loading[K comparable, V any] struct {
	*Cache[K, V]

	fetch func(context.Context, K) (V, error)
	many  func(context.Context, []K) (map[K]V, error) // nil: fetch is called for each key
}

// loadArgument is the OptionError.Field of NewLoading's argument.
const loadArgument = "load"

// NewLoading makes a Loading, which loads a key with load, and many with Options.LoadMany.
// Its errors are those of [New], and an *[OptionError] with the field "load" if load is nil.
func NewLoading[K comparable, V any](
	o Options[K, V], load func(context.Context, K) (V, error),
) (*Loading[K, V], error) {
	if load == nil {
		return nil, &OptionError{loadArgument, "nil", "a function"}
	}
	c, err := New(o)
	if err != nil {
		return nil, err
	}
	return &Loading[K, V]{c, load, o.LoadMany}, nil
}

// Fetch does what [Cache.Fetch] does, with the load function of the Loading.
func (l *Loading[K, V]) Fetch(ctx context.Context, key K) (V, error) {
	return l.Cache.Fetch(ctx, key, l.fetch)
}

// FetchResult does what [Cache.FetchResult] does, with the load function of the Loading.
func (l *Loading[K, V]) FetchResult(ctx context.Context, key K) (Result[V], error) {
	return l.Cache.FetchResult(ctx, key, l.fetch)
}

// Refresh does what [Cache.Refresh] does, with the load function of the Loading.
func (l *Loading[K, V]) Refresh(ctx context.Context, key K) (V, error) {
	return l.Cache.Refresh(ctx, key, l.fetch)
}

// singleLoads bounds the loads that a FetchMany without LoadMany waits for at a time.
const singleLoads = 64

// FetchMany does what [Cache.FetchMany] does, with Options.LoadMany. Without that, it calls
// the load function of the Loading for each key that is missing, for 64 keys at a time.
func (l *Loading[K, V]) FetchMany(ctx context.Context, keys []K) (map[K]V, error) {
	if l.many != nil {
		return l.Cache.FetchMany(ctx, keys, l.many)
	}
	m := manyResult[K, V]{found: make(map[K]V, len(keys))}
	var mu sync.Mutex // guards m
	var loads errgroup.Group
	loads.SetLimit(singleLoads)
	for _, key := range keys {
		if e := l.lookup(key); e != nil {
			if l.refreshAt > 0 {
				l.refresh(ctx, e, l.fetch)
			}
			mu.Lock()
			m.put(key, e.value, nil)
			mu.Unlock()
			continue
		}
		loads.Go(func() error {
			r, err := l.miss(ctx, key, l.fetch, 0)
			mu.Lock()
			defer mu.Unlock()
			m.put(key, r.Value, err)
			return nil
		})
	}
	_ = loads.Wait() // m has the errors
	return m.get()
}
