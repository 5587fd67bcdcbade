package cache_test

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// An entry is due refreshAfter after it was stored, or up to six tenths sooner.
const (
	refreshTTL    = time.Hour
	refreshAfter  = 10 * time.Second
	refreshAt     = float64(refreshAfter) / float64(refreshTTL)
	refreshNotYet = refreshAfter*4/10 - 1
)

func refreshing(tb testing.TB) *cache.Cache[string, int] {
	tb.Helper()
	return newCache(tb, cache.Options[string, int]{TTL: refreshTTL, RefreshAt: refreshAt})
}

// requireFetch asserts that Fetch returns want at once.
func requireFetch(
	t *testing.T, c *cache.Cache[string, int], want int,
	fetch func(context.Context, string) (int, error),
) {
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
		time.Sleep(refreshNotYet)
		requireFetch(t, c, 1, mustNotLoad[string, int](t))
		time.Sleep(refreshAfter - refreshNotYet)
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
		time.Sleep(refreshNotYet) // the new entry is not due
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
	})
}

// The refresh goes on when the caller that started it leaves.
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

// A fetch function does not wait for a refresh that it starts.
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
				require.Error(t, err, "the TTL has ended")
			})
		})
	}
}

// A refresh has the time-out of a load, and no other runs beside it: one that takes longer than the
// share RefreshAt is not abandoned.
func TestSlowRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := refreshing(t)
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		requireFetch(t, c, 1, func(ctx context.Context, _ string) (int, error) {
			select {
			case <-time.After(2 * refreshAfter):
			case <-ctx.Done():
			}
			return 2, ctx.Err()
		})
		for range 19 {
			time.Sleep(refreshAfter / 10)
			requireFetch(t, c, 1, mustNotLoad[string, int](t))
		}
		time.Sleep(refreshAfter / 2)
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
		require.Zero(t, c.Stats().LoadErrors)
	})
}

// A stuck refresh is abandoned after the courier's time-out, and another follows after
// RefreshAfter.
func TestStuckRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Minute
		c := newCache(t, cache.Options[string, int]{
			TTL: refreshTTL, RefreshAt: refreshAt, Courier: []courier.Option{courier.WithTimeout(timeout)},
		})
		c.Set("k", 1)
		stuck := make(chan struct{})
		time.Sleep(refreshAfter)
		requireFetch(t, c, 1, func(context.Context, string) (int, error) {
			<-stuck
			return 13, nil
		})
		time.Sleep(timeout + refreshNotYet)
		requireFetch(t, c, 1, mustNotLoad[string, int](t))
		require.Equal(t, 1, c.Stats().Courier.Abandoned)
		time.Sleep(refreshAfter - refreshNotYet)
		requireFetch(t, c, 1, returns[string](2))
		synctest.Wait()
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
		close(stuck)
		synctest.Wait()
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
	})
}

// Entries that were stored together are not refreshed together, neither the first time nor later.
func TestRefreshesDoNotMarchInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 1000
		c := newCache(t, cache.Options[int, int]{TTL: refreshTTL, RefreshAt: refreshAt})
		for k := range keys {
			c.Set(k, k)
		}
		const step = refreshAfter / 100
		seen := uint64(0)
		for at := step; at <= 3*refreshAfter; at += step {
			time.Sleep(step)
			for k := range keys {
				_, err := c.Fetch(t.Context(), k, returns[int](k))
				require.NoError(t, err)
			}
			synctest.Wait()
			now := c.Stats().Refreshes
			// Evenly spread it is a twentieth.
			require.Less(t, now-seen, uint64(keys/8), "within 1 %% of RefreshAfter, at %v", at)
			seen = now
		}
		require.Greater(t, seen, uint64(2*keys))
	})
}

// The number of refreshes is bounded, and waiting ones have no goroutine. If the queue has no room,
// a later Fetch starts the refresh.
func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 5000
		c := newCache(t, cache.Options[int, int]{TTL: refreshTTL, RefreshAt: refreshAt})
		for k := range keys {
			c.Set(k, 0)
		}
		time.Sleep(refreshAfter)
		release := make(chan struct{})
		var running, most, loads atomic.Int32
		hit := func() {
			for k := range keys {
				_, err := c.Fetch(t.Context(), k, func(context.Context, int) (int, error) {
					defer running.Add(-1)
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					loads.Add(1)
					<-release
					return 1, nil
				})
				require.NoError(t, err)
			}
			synctest.Wait()
		}
		before := runtime.NumGoroutine()
		hit()
		require.EqualValues(t, cache.MaxRefreshes, running.Load())
		require.LessOrEqual(t, runtime.NumGoroutine()-before, 2*cache.MaxRefreshes+1, "and the clock's")
		require.Equal(t, cache.MaxRefreshes+cache.MaxRefreshQueue, c.Loads())
		hit()
		require.Equal(t, cache.MaxRefreshes+cache.MaxRefreshQueue, c.Loads(), "once per key")
		close(release)
		synctest.Wait()
		require.EqualValues(t, cache.MaxRefreshes+cache.MaxRefreshQueue, loads.Load())
		for range keys / cache.MaxRefreshQueue {
			hit()
		}
		require.EqualValues(t, keys, loads.Load(), "once per key")
		require.LessOrEqual(t, most.Load(), int32(cache.MaxRefreshes))
		for k, v := range contents(c) {
			require.Equal(t, 1, v, k)
		}
	})
}

// A refresh whose entry expires before its turn has come still serves the next caller, whether it
// waits for the courier or for other refreshes.
func TestRefreshQueuedBeforeExpiry(t *testing.T) {
	for name, tt := range map[string]struct {
		concurrent, others int
	}{
		"of the courier":   {1, 1},
		"of the refreshes": {0, cache.MaxRefreshes},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, cache.Options[int, int]{
					TTL: refreshTTL, RefreshAt: refreshAt,
					Courier: []courier.Option{
						courier.WithMaxConcurrent(tt.concurrent), courier.WithQueueWait(0), courier.WithTimeout(0),
					},
				})
				for k := range tt.others {
					c.Set(1+k, 1)
				}
				c.SetTTL(0, 1, 2*refreshAfter)
				time.Sleep(refreshAfter)
				fetch := func(key int, load func(context.Context, int) (int, error)) int {
					v, err := c.Fetch(t.Context(), key, load)
					require.NoError(t, err)
					return v
				}
				for k := range tt.others {
					fetch(1+k, func(context.Context, int) (int, error) {
						time.Sleep(10 * refreshAfter)
						return 2, nil
					})
				}
				synctest.Wait()
				require.Equal(t, 1, fetch(0, returns[int](2)))
				time.Sleep(5 * refreshAfter)
				require.Equal(t, tt.others, c.Len(), "the entry has expired and is swept")
				time.Sleep(5 * refreshAfter)
				synctest.Wait() // the loads of the others end at this moment
				require.Equal(t, 2, fetch(0, mustNotLoad[int, int](t)))
			})
		})
	}
}

// A refresh whose result must not be stored ends the entry, which is outdated, unless the refresh
// was superseded.
func TestRefreshThatIsNotStored(t *testing.T) {
	for _, ttl := range []time.Duration{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			var left []departure[string, int]
			c := newCache(t, cache.Options[string, int]{
				TTL: refreshTTL, RefreshAt: refreshAt, OnEviction: record(&left),
			})
			load := func(ctx context.Context, _ string) (int, error) {
				time.Sleep(time.Second)
				cache.StoreFor(ctx, ttl)
				return 2, nil
			}
			c.Set("k", 1)
			time.Sleep(refreshAfter)
			requireFetch(t, c, 1, load)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			require.Zero(t, c.Len())
			require.Equal(t, []departure[string, int]{{"k", 1, cache.ReasonDeleted}}, left)
			v, err := c.Fetch(t.Context(), "k", returns[string](3))
			require.NoError(t, err)
			require.Equal(t, 3, v)

			time.Sleep(refreshAfter)
			requireFetch(t, c, 3, load)
			synctest.Wait()
			c.Set("k", 4)
			time.Sleep(2 * time.Second)
			requireFetch(t, c, 4, mustNotLoad[string, int](t))
			require.Zero(t, c.Stats().LoadErrors)
		})
	}
}

// A failed refresh does not make its key back off, since no caller waited for it.
func TestFailedRefreshIsNoReasonToBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{
			TTL: 2 * refreshAfter, RefreshAt: 0.5,
			Courier: []courier.Option{courier.WithBackoff(time.Hour, time.Hour)},
		})
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		requireFetch(t, c, 1, func(context.Context, string) (int, error) { return 0, errLoad })
		time.Sleep(2 * refreshAfter)
		require.Equal(t, uint64(1), c.Stats().LoadErrors)
		requireFetch(t, c, 2, returns[string](2))
	})
}

// Nor does a failed refresh that a caller has joined: that caller loads the key, as if there had
// been no refresh.
func TestJoinedRefreshIsNoReasonToBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{
			TTL: time.Minute, RefreshAt: 0.9,
			Courier: []courier.Option{courier.WithBackoff(time.Hour, time.Hour)},
		})
		c.Set("k", 1)
		time.Sleep(55 * time.Second)
		requireFetch(t, c, 1, func(context.Context, string) (int, error) {
			time.Sleep(10 * time.Second)
			return 0, errLoad
		})
		time.Sleep(6 * time.Second)
		v, err := c.Fetch(t.Context(), "k", returns[string](2))
		require.NoError(t, err)
		require.Equal(t, 2, v)
		require.Equal(t, uint64(1), c.Stats().LoadErrors)
	})
}

// Refreshes do not count towards the limit on callers, and get their turns last.
func TestRefreshesYieldToCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{
			TTL: refreshTTL, RefreshAt: refreshAt,
			Courier: []courier.Option{
				courier.WithMaxWaiting(2), courier.WithMaxConcurrent(1), courier.WithQueueWait(0),
			},
		})
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		var order []string
		//nolint:unparam // the type of a fetch function
		load := func(_ context.Context, key string) (int, error) {
			time.Sleep(time.Second)
			order = append(order, key)
			return 2, nil
		}
		var wg sync.WaitGroup
		miss := func(key string) {
			wg.Go(func() {
				if _, err := c.Fetch(t.Context(), key, load); err != nil {
					t.Error(key, err)
				}
			})
			synctest.Wait()
		}
		miss("first")
		requireFetch(t, c, 1, load)
		synctest.Wait()
		miss("second")
		wg.Wait()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"first", "second", "k"}, order)
	})
}

// A Set or Delete during a refresh supersedes it.
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

		// The same before the refresh's goroutine runs.
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

// A refresh that had to wait for its turn does not restore an entry that was deleted meanwhile.
func TestRefreshQueuedBeforeDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{
			TTL: refreshTTL, RefreshAt: refreshAt,
			Courier: []courier.Option{courier.WithMaxConcurrent(1)},
		})
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		go func() { // takes the only turn
			_, _ = c.Fetch(t.Context(), "slow", func(ctx context.Context, _ string) (int, error) {
				time.Sleep(time.Second)
				cache.StoreFor(ctx, 0)
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

// A caller that misses while a refresh is under way joins it.
func TestMissJoinsRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{TTL: refreshAfter, RefreshAt: 0.9})
		c.Set("k", 1)
		time.Sleep(refreshAfter - time.Second)
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
		require.Zero(t, time.Since(start), "the load ends with the cache")
		_, err := c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
		require.ErrorIs(t, err, cache.ErrClosed)
	})
}

// The largest RefreshAfter does not overflow.
func TestLongestRefreshAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{TTL: math.MaxInt64 - 1,
			RefreshAt: math.Nextafter(1, 0)})
		time.Sleep(time.Second)
		c.Set("k", 1)
		for range 3 {
			requireFetch(t, c, 1, mustNotLoad[string, int](t))
			synctest.Wait()
		}
	})
}

// A package-level cache is used by tests with clocks of their own, and outside of bubbles.
func TestRefreshInSeveralBubbles(t *testing.T) {
	c, err := cache.New(cache.Options[string, int]{TTL: time.Hour, RefreshAt: 1e-6, ShedAbove: 0.9})
	require.NoError(t, err)
	use := func(t *testing.T) {
		for range 5 {
			_, err := c.Fetch(t.Context(), "k", returns[string](1))
			require.NoError(t, err)
			time.Sleep(15 * time.Millisecond)
		}
		c.Delete("k")
	}
	for range 2 {
		synctest.Test(t, func(t *testing.T) { use(t); synctest.Wait() })
	}
	use(t)
	require.NotZero(t, c.Stats().Refreshes)
	require.NoError(t, c.Close())
}

// A hit does not use its context, even if it starts a refresh.
func TestRefreshWithoutContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{TTL: refreshTTL, RefreshAt: refreshAt})
		c.Set("k", 1)
		time.Sleep(refreshAfter)
		_, err := c.Fetch(nil, "k", returns[string](2)) //nolint:staticcheck // the mistake under test
		require.NoError(t, err)
		synctest.Wait()
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
	})
}
