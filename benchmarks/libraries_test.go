package benchmarks

import (
	"context"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/maypok86/otter/v2"
	"github.com/snowfence/snowfence/cache"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/singleflight"
)

// A subject is a library set up as its documentation advises. fetch is nil
// where it has no loader.
type subject struct {
	get   func(key int) (int, bool)
	set   func(key, value int)
	fetch func(ctx context.Context, key int) (int, error)
}

// load is what every fetch loads.
func load(key int) int { return key + 1 }

// subjects makes each library anew, for capacity entries that live for ttl (0:
// for good).
var subjects = []struct {
	name string
	make func(tb testing.TB, capacity int, ttl time.Duration) subject
}{
	{"snowfence", func(tb testing.TB, capacity int, ttl time.Duration) subject {
		tb.Helper()
		c, err := cache.New(cache.Options[int, int]{Capacity: capacity, TTL: ttl})
		require.NoError(tb, err)
		tb.Cleanup(func() { require.NoError(tb, c.Close()) })
		return subject{get: c.Get, set: c.Set, fetch: func(ctx context.Context, key int) (int, error) {
			return c.Fetch(ctx, key, func(_ context.Context, key int) (int, error) { return load(key), nil })
		}}
	}},
	{"otter", func(tb testing.TB, capacity int, ttl time.Duration) subject {
		tb.Helper()
		o := &otter.Options[int, int]{MaximumSize: capacity}
		if ttl > 0 {
			o.ExpiryCalculator = otter.ExpiryWriting[int, int](ttl)
		}
		c, err := otter.New(o)
		require.NoError(tb, err)
		tb.Cleanup(func() { c.StopAllGoroutines() })
		return subject{
			get: c.GetIfPresent,
			set: func(key, value int) { c.Set(key, value) },
			fetch: func(ctx context.Context, key int) (int, error) {
				return c.Get(ctx, key, otter.LoaderFunc[int, int](func(_ context.Context, key int) (int, error) { return load(key), nil }))
			},
		}
	}},
	// golang-lru has no loader: this is what services write around it.
	{"golang-lru", func(tb testing.TB, capacity int, ttl time.Duration) subject {
		tb.Helper()
		type plain interface {
			Get(key int) (int, bool)
			Add(key, value int) bool
		}
		var c plain = expirable.NewLRU[int, int](capacity, nil, ttl)
		if ttl == 0 {
			l, err := lru.New[int, int](capacity)
			require.NoError(tb, err)
			c = l
		}
		var flights singleflight.Group
		return subject{
			get: c.Get,
			set: func(key, value int) { c.Add(key, value) },
			fetch: func(_ context.Context, key int) (int, error) {
				if v, ok := c.Get(key); ok {
					return v, nil
				}
				v, err, _ := flights.Do(name(key), func() (any, error) {
					v := load(key)
					c.Add(key, v)
					return v, nil
				})
				if err != nil {
					return 0, err
				}
				return v.(int), nil //nolint:errcheck,forcetypeassert // put there above
			},
		}
	}},
}
