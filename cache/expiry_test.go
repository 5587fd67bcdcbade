package cache_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// requireLives asserts that key lives for exactly ttl from now on.
func requireLives[V any](t *testing.T, c *cache.Cache[string, V], key string, ttl time.Duration) {
	t.Helper()
	time.Sleep(ttl - 1)
	_, ok := c.Get(key)
	require.True(t, ok, "just before the TTL ends")
	require.Contains(t, contents(c), key)
	time.Sleep(time.Nanosecond)
	_, ok = c.Get(key)
	require.False(t, ok, "the TTL has ended")
	require.NotContains(t, contents(c), key)
}

func TestTTL(t *testing.T) {
	const ttl = time.Minute
	keep := func(d time.Duration) func(context.Context, string) (int, error) {
		return func(ctx context.Context, _ string) (int, error) {
			if !cache.StoreFor(ctx, d) {
				return 0, errLoad
			}
			return 1, nil
		}
	}
	fetch := func(c *cache.Cache[string, int], f func(context.Context, string) (int, error)) {
		if v, err := c.Fetch(context.Background(), "k", f); v != 1 || err != nil {
			panic(err)
		}
	}
	for _, tt := range []struct {
		name  string
		store func(*cache.Cache[string, int])
		want  time.Duration // 0: no TTL; negative: not stored
	}{
		{"Set", func(c *cache.Cache[string, int]) { c.Set("k", 1) }, ttl},
		{"Fetch", func(c *cache.Cache[string, int]) { fetch(c, returns[string](1)) }, ttl},
		{"SetTTL shorter", func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, time.Second) },
			time.Second},
		{"SetTTL longer", func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, time.Hour) }, time.Hour},
		{"SetTTL of a nanosecond", func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, 1) }, 1},
		{"SetTTL 0", func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, 0) }, 0},
		{"SetTTL negative", func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, -1) }, -1},
		{"SetTTL Forever", func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, cache.Forever) }, 0},
		{"SetTTL beyond the clock's end",
			func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, cache.Forever-1) }, 0},
		{"StoreFor", func(c *cache.Cache[string, int]) { fetch(c, keep(time.Second)) }, time.Second},
		{"StoreFor 0", func(c *cache.Cache[string, int]) { fetch(c, keep(0)) }, -1},
		{"StoreFor negative", func(c *cache.Cache[string, int]) { fetch(c, keep(-time.Second)) }, -1},
		{"StoreFor the least", func(c *cache.Cache[string, int]) { fetch(c, keep(math.MinInt64)) }, -1},
		{"StoreFor Forever", func(c *cache.Cache[string, int]) { fetch(c, keep(cache.Forever)) }, 0},
		{"StoreFor nearly Forever", func(c *cache.Cache[string, int]) { fetch(c, keep(cache.Forever-1)) },
			0},
		{"the last word counts", func(c *cache.Cache[string, int]) {
			fetch(c, func(ctx context.Context, _ string) (int, error) {
				cache.StoreFor(ctx, 0)
				derived, cancel := context.WithCancel(ctx)
				cancel()
				cache.StoreFor(derived, time.Second)
				return 1, nil
			})
		}, time.Second},
		{"a replaced value's TTL is its own", func(c *cache.Cache[string, int]) {
			c.SetTTL("k", 1, time.Second)
			c.SetTTL("k", 1, time.Hour)
			c.SetTTL("k", 1, 2*time.Second)
		}, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, cache.Options[string, int]{TTL: ttl})
				time.Sleep(time.Hour)
				c.Set("k", 0)
				c.Delete("k")
				tt.store(c)
				switch {
				case tt.want > 0:
					requireLives(t, c, "k", tt.want)
				case tt.want < 0:
					require.Empty(t, contents(c))
					require.Zero(t, c.Len())
				default:
					time.Sleep(10 * time.Hour)
					_, ok := c.Get("k")
					require.True(t, ok)
				}
			})
		})
	}
	t.Run("jitter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newCache(t, cache.Options[string, int]{TTL: cache.Forever, TTLJitter: 1})
			for range 100 {
				c.Set("k", 1)
				time.Sleep(10 * time.Hour)
				_, ok := c.Get("k")
				require.True(t, ok, "jitter does not apply without a TTL")
			}
		})
	})
	t.Run("none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newCache(t, cache.Options[string, int]{})
			c.Set("k", 1)
			time.Sleep(10 * time.Hour)
			_, ok := c.Get("k")
			require.True(t, ok)
			c.SetTTL("k", 2, time.Minute)
			requireLives(t, c, "k", time.Minute)
		})
	})
}

func TestStoreForOutsideOfALoad(t *testing.T) {
	require.False(t, cache.StoreFor(t.Context(), time.Second))
}

// Fetch loads an expired key again, even before the sweep has reclaimed the entry.
func TestFetchOfExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{TTL: 10 * time.Millisecond})
		c.Set("k", 1)
		time.Sleep(10 * time.Millisecond)
		require.Equal(t, 1, c.Len(), "not swept yet")
		v, err := c.Fetch(t.Context(), "k", returns[string](2))
		require.NoError(t, err)
		require.Equal(t, 2, v)
		require.Equal(t, 1, c.Len())
		time.Sleep(10 * time.Millisecond)
		require.False(t, c.Delete("k"), "an expired entry does not count as deleted")
		require.Zero(t, c.Len())
	})
}

func TestJitter(t *testing.T) {
	for _, jitter := range []float64{0, 0.1, 1} {
		synctest.Test(t, func(t *testing.T) {
			const ttl, n = 1000 * time.Second, 4000
			c := newCache(t, cache.Options[int, int]{TTL: ttl, TTLJitter: jitter})
			for i := range n {
				c.Set(i, i)
			}
			live := func() int { return len(contents(c)) }
			soonest := time.Duration(float64(ttl) * (1 - jitter))
			time.Sleep(soonest - time.Millisecond)
			require.Equal(t, n, live(), "none expires sooner")
			half := (ttl - soonest) / 2
			time.Sleep(time.Millisecond + half)
			if jitter > 0 {
				require.InDelta(t, n/2, live(), n/20, "spread evenly")
			}
			time.Sleep(half)
			require.Zero(t, live(), "none expires later")
		})
	}
}

// The longest and the shortest TTL are valid with any jitter.
func TestJitterOfExtremes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{Capacity: 100, TTLJitter: 1, ClockError: -1})
		for i := range 1000 {
			c.SetTTL(i, i, math.MaxInt64)
			c.SetTTL(-1, i, 1)
			_, ok := c.Get(-1)
			require.True(t, ok)
		}
		time.Sleep(time.Nanosecond)
		_, ok := c.Get(-1)
		require.False(t, ok)
	})
}

// The sweep reclaims expired entries within a second or two, and keeps the others.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{Capacity: 10_000})
		require.Greater(t, c.Shards(), 1)
		for i := range 9000 {
			c.SetTTL(i, i, time.Duration(i%3)*10*time.Second) // a third without a TTL
		}
		require.Equal(t, 9000, c.Len())
		time.Sleep(10*time.Second + cache.SweepEvery)
		synctest.Wait()
		require.Equal(t, 6000, c.Len())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 3000, c.Len())
		require.Equal(t, uint64(6000), c.Stats().Expired)
		require.NoError(t, c.Audit())
	})
}

// One sweep does no more than its budget, and the next one follows soon.
func TestSweepBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5*cache.SweepBudget/2 + 7
		c := newCache(t, cache.Options[int, int]{Capacity: 2 * n, TTL: time.Millisecond})
		for i := range n {
			c.Set(i, i)
		}
		time.Sleep(cache.SweepEvery - 1)
		require.Equal(t, n, c.Len())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		left := c.Len()
		require.InDelta(t, n-cache.SweepBudget, left, 128)
		time.Sleep(cache.SweepAgain - 1)
		synctest.Wait()
		require.Equal(t, left, c.Len(), "the sweep pauses")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.InDelta(t, n-2*cache.SweepBudget, c.Len(), 256)
		time.Sleep(cache.SweepAgain)
		synctest.Wait()
		require.Zero(t, c.Len())
	})
}

// A cache without TTLs has no goroutine, even if it is never closed.
func TestNoSweeperWithoutTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Options[int, int]{})
		require.NoError(t, err)
		c.Set(1, 1)
		_, err = c.Fetch(t.Context(), 2, returns[int](2))
		require.NoError(t, err)
		// The bubble fails the test if a goroutine remains.
	})
}
