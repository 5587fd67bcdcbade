package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/golang/groupcache"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jellydator/ttlcache/v3"
	"github.com/maypok86/otter/v2"
	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/stalltest"
	"github.com/viccon/sturdyc"
	"golang.org/x/sync/singleflight"
)

// roomy is the capacity where a case does not depend on it.
const roomy = 10_000

func newSnowfence(s stalltest.Setup) (stalltest.Cache, error) {
	o := cache.Options[string, string]{Capacity: s.Capacity, TTL: s.TTL, StaleFor: s.StaleFor}
	if s.RefreshAfter > 0 {
		o.RefreshAt = float64(s.RefreshAfter) / float64(s.TTL)
	}
	if s.StaleFor > 0 {
		o.SoftTimeout = 200 * time.Millisecond // of the README
	}
	if s.OnEviction != nil {
		o.OnEviction = func(key, value string, _ cache.Reason) { s.OnEviction(key, value) }
	}
	c, err := cache.New(o)
	if err != nil {
		return stalltest.Cache{}, err
	}
	others, err := cache.New(cache.Options[any, string]{})
	if err != nil {
		return stalltest.Cache{}, err
	}
	return stalltest.Cache{
		Fetch: func(ctx context.Context, key string) (string, error) { return c.Fetch(ctx, key, s.Load) },
		FetchMany: func(ctx context.Context, keys []string) (map[string]string, error) {
			return c.FetchMany(ctx, keys, s.LoadMany)
		},
		FetchAny: func(ctx context.Context, key any) (string, error) {
			return others.Fetch(ctx, key, loadingAny(s))
		},
		Set:    c.Set,
		Delete: func(key string) { c.Delete(key) },
		Go:     courier.Go,
		Close:  func() error { return errors.Join(c.Close(), others.Close()) },
	}, nil
}

// loadingAny returns the load function of keys that are interfaces.
func loadingAny(s stalltest.Setup) func(context.Context, any) (string, error) {
	return func(ctx context.Context, key any) (string, error) { return s.Load(ctx, fmt.Sprint(key)) }
}

// newGolangLRU combines golang-lru with x/sync's singleflight.
func newGolangLRU(s stalltest.Setup) (stalltest.Cache, error) {
	c, err := lru.NewWithEvict(cmp.Or(s.Capacity, roomy), s.OnEviction)
	if err != nil {
		return stalltest.Cache{}, err
	}
	var flights singleflight.Group
	return stalltest.Cache{
		Fetch: func(ctx context.Context, key string) (string, error) {
			if v, ok := c.Get(key); ok {
				return v, nil
			}
			v, err, _ := flights.Do(key, func() (any, error) {
				v, err := s.Load(ctx, key)
				if err == nil {
					c.Add(key, v)
				}
				return v, err
			})
			return text(v), err
		},
		Set: func(key, value string) { c.Add(key, value) },
		Delete: func(key string) {
			c.Remove(key)
			flights.Forget(key) // later callers start a flight of their own
		},
	}, nil
}

func newOtter(s stalltest.Setup) (stalltest.Cache, error) {
	o := &otter.Options[string, string]{MaximumSize: cmp.Or(s.Capacity, roomy)}
	if s.TTL > 0 {
		o.ExpiryCalculator = otter.ExpiryWriting[string, string](s.TTL)
	}
	if s.RefreshAfter > 0 {
		o.RefreshCalculator = otter.RefreshWriting[string, string](s.RefreshAfter)
	}
	if s.OnEviction != nil {
		o.OnDeletion = func(e otter.DeletionEvent[string, string]) { s.OnEviction(e.Key, e.Value) }
	}
	c, err := otter.New(o)
	if err != nil {
		return stalltest.Cache{}, err
	}
	others, err := otter.New(&otter.Options[any, string]{MaximumSize: roomy})
	if err != nil {
		return stalltest.Cache{}, err
	}
	return stalltest.Cache{
		Fetch: func(ctx context.Context, key string) (string, error) {
			return c.Get(ctx, key, otter.LoaderFunc[string, string](s.Load))
		},
		FetchMany: func(ctx context.Context, keys []string) (map[string]string, error) {
			return c.BulkGet(ctx, keys, otter.BulkLoaderFunc[string, string](s.LoadMany))
		},
		FetchAny: func(ctx context.Context, key any) (string, error) {
			return others.Get(ctx, key, otter.LoaderFunc[any, string](loadingAny(s)))
		},
		Set:    func(key, value string) { c.Set(key, value) },
		Delete: func(key string) { c.Invalidate(key) },
		Close: func() error {
			c.StopAllGoroutines()
			others.StopAllGoroutines()
			return nil
		},
	}, nil
}

// newSturdyc uses the numbers of sturdyc's README. Its stale values are those of a record whose
// refresh has become synchronous, and failed.
func newSturdyc(s stalltest.Setup) (stalltest.Cache, error) {
	ttl := cmp.Or(s.TTL, 2*time.Hour) + s.StaleFor
	var opts []sturdyc.Option
	switch after := s.RefreshAfter; {
	case after > 0:
		opts = append(opts, sturdyc.WithEarlyRefreshes(after, after, ttl, after))
	case s.StaleFor > 0:
		opts = append(opts, sturdyc.WithEarlyRefreshes(s.TTL, s.TTL, s.TTL, s.TTL))
	}
	c := sturdyc.New[string](cmp.Or(s.Capacity, roomy), 10, ttl, 10, opts...)
	name := c.BatchKeyFn("fault")
	return stalltest.Cache{
		Fetch: func(ctx context.Context, key string) (string, error) {
			v, err := c.GetOrFetch(ctx, name(key), loading(s, key))
			if errors.Is(err, sturdyc.ErrOnlyCachedRecords) {
				err = nil
			}
			return v, err
		},
		FetchMany: func(ctx context.Context, keys []string) (map[string]string, error) {
			return c.GetOrFetchBatch(ctx, keys, name, s.LoadMany)
		},
		Set:    func(key, value string) { c.Set(name(key), value) },
		Delete: func(key string) { c.Delete(name(key)) },
	}, nil
}

func newTheine(s stalltest.Setup) (stalltest.Cache, error) {
	b := theine.NewBuilder[string, string](int64(cmp.Or(s.Capacity, roomy)))
	if s.OnEviction != nil {
		b.RemovalListener(func(key, value string, _ theine.RemoveReason) { s.OnEviction(key, value) })
	}
	c, err := b.BuildWithLoader(func(ctx context.Context, key string) (theine.Loaded[string], error) {
		v, err := s.Load(ctx, key)
		return theine.Loaded[string]{Value: v, Cost: 1, TTL: s.TTL}, err
	})
	if err != nil {
		return stalltest.Cache{}, err
	}
	others, err := theine.NewBuilder[any, string](roomy).BuildWithLoader(
		func(ctx context.Context, key any) (theine.Loaded[string], error) {
			v, err := s.Load(ctx, fmt.Sprint(key))
			return theine.Loaded[string]{Value: v, Cost: 1}, err
		})
	if err != nil {
		return stalltest.Cache{}, err
	}
	return stalltest.Cache{
		Fetch:    c.Get,
		FetchAny: others.Get,
		Set:      func(key, value string) { c.SetWithTTL(key, value, 1, s.TTL) },
		Delete:   c.Delete,
	}, nil
}

var errNoItem = errors.New("no item")

// newTTLCache has a loader that gets no context and returns no error, as that library's do.
func newTTLCache(s stalltest.Setup) (stalltest.Cache, error) {
	load := func(c *ttlcache.Cache[string, string], key string) *ttlcache.Item[string, string] {
		v, err := s.Load(context.Background(), key)
		if err != nil {
			return nil
		}
		return c.Set(key, v, ttlcache.DefaultTTL)
	}
	c := ttlcache.New(
		ttlcache.WithCapacity[string, string](uint64(cmp.Or(s.Capacity, roomy))), //nolint:gosec // small
		ttlcache.WithTTL[string, string](s.TTL),
		ttlcache.WithLoader(ttlcache.NewSuppressedLoader(ttlcache.LoaderFunc[string, string](load), nil)))
	if s.OnEviction != nil {
		c.OnEviction(func(
			_ context.Context, _ ttlcache.EvictionReason, i *ttlcache.Item[string, string],
		) {
			s.OnEviction(i.Key(), i.Value())
		})
	}
	others := ttlcache.New(ttlcache.WithLoader(ttlcache.NewSuppressedLoader(
		ttlcache.LoaderFunc[any, string](
			func(c *ttlcache.Cache[any, string], key any) *ttlcache.Item[any, string] {
				v, err := s.Load(context.Background(), fmt.Sprint(key))
				if err != nil {
					return nil
				}
				return c.Set(key, v, ttlcache.NoTTL)
			}), nil)))
	return stalltest.Cache{
		Fetch: func(_ context.Context, key string) (string, error) {
			if item := c.Get(key); item != nil {
				return item.Value(), nil
			}
			return "", errNoItem
		},
		FetchAny: func(_ context.Context, key any) (string, error) {
			if item := others.Get(key); item != nil {
				return item.Value(), nil
			}
			return "", errNoItem
		},
		Set:    func(key, value string) { c.Set(key, value, ttlcache.DefaultTTL) },
		Delete: c.Delete,
	}, nil
}

// groups counts the groups of this process, which can have only one of a name.
var groups atomic.Int64

// newGroupcache makes a group, which stays for ever.
func newGroupcache(s stalltest.Setup) (stalltest.Cache, error) {
	get := func(ctx context.Context, key string, dest groupcache.Sink) error {
		v, err := s.Load(ctx, key)
		if err != nil {
			return err
		}
		return dest.SetString(v)
	}
	name := fmt.Sprintf("faults %d", groups.Add(1))
	g := groupcache.NewGroup(name, 1<<20, groupcache.GetterFunc(get))
	return stalltest.Cache{Fetch: func(ctx context.Context, key string) (v string, err error) {
		err = g.Get(ctx, key, groupcache.StringSink(&v))
		return v, err
	}}, nil
}
