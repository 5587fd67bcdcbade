package cache_test

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

const refreshAfter = 10 * time.Second

func refreshing(tb testing.TB) *cache.Cache[string, int] {
	tb.Helper()
	return newCache(tb, cache.Options[string, int]{TTL: time.Hour, RefreshAfter: refreshAfter})
}

// requireFetch asserts that Fetch returns want at once.
func requireFetch(t *testing.T, c *cache.Cache[string, int], want int, fetch func(context.Context, string) (int, error)) {
	t.Helper()
	start := time.Now()
	v, err := c.Fetch(t.Context(), "k", fetch)
	require.NoError(t, err)
	require.Equal(t, want, v)
	require.Zero(t, time.Since(start))
}

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := refreshing(t)
		c.Set("k", 1)
		var loads atomic.Int32
		load := func(ctx context.Context, _ string) (int, error) {
			loads.Add(1)
			time.Sleep(time.Second)
			return 2, ctx.Err()
		}
		time.Sleep(refreshAfter - 1)
		requireFetch(t, c, 1, mustNotLoad[string, int](t))
		time.Sleep(time.Nanosecond)
		var wg sync.WaitGroup
		for range 1000 { // all get the old value at once; one load runs
			wg.Go(func() { requireFetch(t, c, 1, load) })
		}
		wg.Wait()
		synctest.Wait()
		require.Equal(t, int32(1), loads.Load())
		requireFetch(t, c, 1, load)
		time.Sleep(time.Second)
		synctest.Wait()
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
		require.Equal(t, uint64(1), c.Stats().Refreshes)
		time.Sleep(refreshAfter - 1) // the new entry is young again
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
	})
}

// The caller who sets off a refresh may leave, and its end is not the load's.
func TestRefreshOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := refreshing(t)
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		type ctxKey struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, "value"))
		_, err := c.Fetch(ctx, "k", func(ctx context.Context, _ string) (int, error) {
			time.Sleep(time.Second)
			if ctx.Value(ctxKey{}) != "value" {
				t.Error("the caller's values are lost")
			}
			return 2, ctx.Err()
		})
		require.NoError(t, err)
		cancel()
		time.Sleep(2 * time.Second)
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
	})
}

// A refresh inside of a fetch function is nothing that this one waits for.
func TestRefreshInsideALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := refreshing(t)
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		v, err := c.Fetch(t.Context(), "outer", func(ctx context.Context, _ string) (int, error) {
			return c.Fetch(ctx, "k", func(ctx context.Context, _ string) (int, error) {
				time.Sleep(time.Second)
				return c.Fetch(ctx, "outer", mustNotLoad[string, int](t))
			})
		})
		require.NoError(t, err)
		require.Equal(t, 1, v)
		time.Sleep(2 * time.Second)
		require.Zero(t, c.Stats().LoadErrors)
	})
}

// A failed refresh keeps the old entry until its TTL has passed, and another
// is tried no sooner than RefreshAfter later.
func TestFailedRefresh(t *testing.T) {
	for name, fail := range map[string]func(){
		"error": func() {},
		"panic": func() { panic("refresh") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := refreshing(t)
				c.Set("k", 1)
				loads := 0
				failing := func(context.Context, string) (int, error) {
					loads++
					fail()
					return 0, errLoad
				}
				for i := range 5 {
					time.Sleep(refreshAfter)
					for range 3 {
						requireFetch(t, c, 1, failing)
						synctest.Wait()
						require.Equal(t, i+1, loads)
					}
				}
				require.Equal(t, uint64(5), c.Stats().LoadErrors)
				time.Sleep(time.Hour)
				_, err := c.Fetch(t.Context(), "k", failing)
				require.Error(t, err, "its TTL is up")
			})
		})
	}
}

// A stuck refresh is given up after RefreshAfter and followed by another.
func TestStuckRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := refreshing(t)
		c.Set("k", 1)
		stuck := make(chan struct{})
		time.Sleep(refreshAfter)
		requireFetch(t, c, 1, func(context.Context, string) (int, error) {
			<-stuck
			return 13, nil
		})
		time.Sleep(refreshAfter - 1)
		requireFetch(t, c, 1, mustNotLoad[string, int](t))
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, 1, c.Stats().Courier.Abandoned)
		requireFetch(t, c, 1, returns[string](2))
		synctest.Wait()
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
		close(stuck)
		synctest.Wait()
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
	})
}

// A Set or Delete during a refresh wins.
func TestInvalidationDuringRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := refreshing(t)
		load := func(context.Context, string) (int, error) {
			time.Sleep(time.Second)
			return 13, nil
		}
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		requireFetch(t, c, 1, load)
		synctest.Wait()
		c.Set("k", 2)
		time.Sleep(2 * time.Second)
		requireFetch(t, c, 2, mustNotLoad[string, int](t))

		time.Sleep(refreshAfter)
		requireFetch(t, c, 2, load)
		synctest.Wait()
		c.Delete("k")
		time.Sleep(2 * time.Second)
		require.Zero(t, c.Len())

		// Even before its goroutine has begun.
		for range 100 {
			c.Set("k", 1)
			time.Sleep(refreshAfter)
			requireFetch(t, c, 1, load)
			c.Delete("k")
			time.Sleep(2 * time.Second)
			require.Zero(t, c.Len())
		}
	})
}

// Nor does a refresh that had to wait for its turn bring back what was deleted
// meanwhile.
func TestRefreshQueuedBeforeDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{
			RefreshAfter: refreshAfter,
			Courier:      []courier.Option{courier.WithMaxConcurrent(1)},
		})
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		go func() { // takes the only turn
			_, _ = c.Fetch(t.Context(), "slow", func(ctx context.Context, _ string) (int, error) {
				time.Sleep(time.Second)
				cache.NoStore(ctx)
				return 0, nil
			})
		}()
		synctest.Wait()
		requireFetch(t, c, 1, returns[string](2))
		synctest.Wait()
		c.Delete("k")
		time.Sleep(2 * time.Second)
		require.Zero(t, c.Len())
	})
}

// Who misses while a refresh is under way joins it.
func TestMissJoinsRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{TTL: refreshAfter + time.Second, RefreshAfter: refreshAfter})
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		requireFetch(t, c, 1, func(context.Context, string) (int, error) {
			time.Sleep(5 * time.Second)
			return 2, nil
		})
		time.Sleep(2 * time.Second) // it has expired by now
		start := time.Now()
		v, err := c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
		require.NoError(t, err)
		require.Equal(t, 2, v)
		require.Equal(t, 3*time.Second, time.Since(start))
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
	})
}

func TestNoRefreshAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := refreshing(t)
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		requireFetch(t, c, 1, func(ctx context.Context, _ string) (int, error) {
			<-ctx.Done()
			return 2, nil
		})
		synctest.Wait()
		start := time.Now()
		require.NoError(t, c.Close())
		require.Zero(t, time.Since(start), "it ends with the cache")
		_, err := c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
		require.ErrorIs(t, err, cache.ErrClosed)
	})
}

// A RefreshAfter near the end of time does not wrap around into the past.
func TestLongestRefreshAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{RefreshAfter: math.MaxInt64})
		time.Sleep(time.Second)
		c.Set("k", 1)
		for range 3 {
			requireFetch(t, c, 1, mustNotLoad[string, int](t))
			synctest.Wait()
		}
	})
}
