package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

const (
	staleTTL  = time.Minute
	staleFor  = time.Hour
	softAfter = 100 * time.Millisecond
)

// staling returns a cache with a stale value 1 for "k".
func staling(t *testing.T, soft time.Duration) *cache.Cache[string, int] {
	t.Helper()
	c := newCache(t, cache.Options[string, int]{TTL: staleTTL, StaleFor: staleFor, SoftTimeout: soft})
	c.Set("k", 1)
	time.Sleep(staleTTL)
	_, ok := c.Get("k")
	require.False(t, ok)
	return c
}

// However a load fails, a caller gets the stale value, and FetchResult returns the reason.
func TestStaleValue(t *testing.T) {
	for name, tt := range map[string]struct {
		load func(context.Context, string) (int, error)
		err  error
		soft time.Duration
		wait time.Duration
	}{
		"error": {load: func(context.Context, string) (int, error) { return 0, errLoad }, err: errLoad},
		"panic": {load: func(context.Context, string) (int, error) { panic(errLoad) }, err: errLoad},
		"goexit": {
			load: func(context.Context, string) (int, error) { runtime.Goexit(); return 0, nil },
			err:  courier.ErrGoexit,
		},
		"hang": {
			load: func(ctx context.Context, _ string) (int, error) { <-ctx.Done(); return 0, ctx.Err() },
			err:  courier.ErrTimeout, wait: courier.DefaultTimeout,
		},
		"hang, soft time-out": {
			load: func(ctx context.Context, _ string) (int, error) { <-ctx.Done(); return 0, ctx.Err() },
			err:  courier.ErrLate, soft: softAfter, wait: softAfter,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := staling(t, tt.soft)
				start := time.Now()
				r, err := c.FetchResult(t.Context(), "k", tt.load)
				require.NoError(t, err)
				require.Equal(t, tt.wait, time.Since(start))
				require.ErrorIs(t, r.Err, tt.err)
				r.Err = nil
				require.Equal(t, cache.Result[int]{Value: 1, Stale: true, Age: staleTTL + tt.wait}, r)
				require.Equal(t, uint64(1), c.Stats().Stale)

				// At once, and without a load, for StaleRetry or while the flight lasts.
				start = time.Now()
				v, err := c.Fetch(t.Context(), "k", func(ctx context.Context, k string) (int, error) {
					require.NotZero(t, tt.soft)
					return tt.load(ctx, k)
				})
				require.NoError(t, err)
				require.Equal(t, 1, v)
				require.Zero(t, time.Since(start))

				// Then a load may bring a new value.
				time.Sleep(cache.DefaultStaleRetry + courier.DefaultTimeout)
				start = time.Now()
				r, err = c.FetchResult(t.Context(), "k", returns[string](2))
				require.NoError(t, err)
				require.Equal(t, cache.Result[int]{Value: 2}, r)
				require.Zero(t, time.Since(start))

				c.Expire("k")
				time.Sleep(staleFor)
				_, err = c.Fetch(t.Context(), "k", tt.load)
				require.Error(t, err, "the stale value is gone")
			})
		})
	}
}

// While callers keep coming, a key that fails is loaded once per StaleRetry.
func TestStaleRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := staling(t, 0)
		loads := 0
		for range 100 {
			v, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
				loads++
				return 0, errLoad
			})
			require.NoError(t, err)
			require.Equal(t, 1, v)
			time.Sleep(cache.DefaultStaleRetry / 10)
		}
		require.Equal(t, 10, loads)
	})
}

// A caller that is cancelled gets the context's error. One whose deadline passes gets the stale
// value, and the load goes on.
func TestStaleAndContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := staling(t, 0)
		slow := func(ctx context.Context, _ string) (int, error) {
			time.Sleep(time.Second)
			return 2, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(softAfter, cancel)
		_, err := c.Fetch(ctx, "k", slow)
		require.ErrorIs(t, err, context.Canceled)
		time.Sleep(time.Second)

		ctx, cancel = context.WithTimeout(t.Context(), softAfter)
		defer cancel()
		r, err := c.FetchResult(ctx, "k", slow)
		require.NoError(t, err)
		require.True(t, r.Stale)
		require.ErrorIs(t, r.Err, context.DeadlineExceeded)
		time.Sleep(time.Second)
		requireFetch(t, c, 2, mustNotLoad[string, int](t))
	})
}

// Whatever ends an entry ends its stale value, also for callers that already wait for a load.
func TestEndOfStaleValue(t *testing.T) {
	for name, end := range map[string]func(*cache.Cache[string, int]){
		"Delete":       func(c *cache.Cache[string, int]) { c.Delete("k") },
		"GetAndDelete": func(c *cache.Cache[string, int]) { c.GetAndDelete("k") },
		"Clear":        func(c *cache.Cache[string, int]) { c.Clear() },
		"not found": func(c *cache.Cache[string, int]) {
			_, err := c.Refresh(context.Background(), "k",
				func(context.Context, string) (int, error) { return 0, cache.ErrNotFound })
			if !errors.Is(err, cache.ErrNotFound) {
				panic(err)
			}
		},
		"negative TTL": func(c *cache.Cache[string, int]) { c.SetTTL("k", 1, -1) },
		"Update": func(c *cache.Cache[string, int]) {
			c.Update("k", func(int, bool) (int, cache.Op) { return 0, cache.Remove })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := staling(t, 0)
				end(c)
				_, err := c.Fetch(t.Context(), "k", fails[string, int](errLoad))
				require.ErrorIs(t, err, errLoad)
				if name == "not found" {
					return // would join the load below
				}
				c = staling(t, 0)
				time.AfterFunc(softAfter, func() { end(c) })
				_, err = c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
					time.Sleep(time.Second)
					return 0, errLoad
				})
				require.ErrorIs(t, err, errLoad)
			})
		})
	}
}

// A caller that comes while the last failure is remembered, and finds that the stale value has just
// been deleted, loads the key, like any caller after that. It does not get the remembered failure.
func TestDeletedWhileStaleIsGiven(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{StaleFor: time.Hour, StaleRetry: time.Hour})
	rounds := 20_000
	if raceEnabled || testing.Short() {
		rounds /= 4
	}
	for range rounds {
		c.Set("k", 1)
		c.Expire("k")
		_, err := c.Fetch(t.Context(), "k", fails[string, int](errLoad))
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				_, err := c.Fetch(t.Context(), "k", returns[string](2))
				assert.NoError(t, err)
			})
			wg.Go(func() {
				_, err := c.FetchMany(t.Context(), []string{"k"},
					func(context.Context, []string) (map[string]int, error) { return map[string]int{"k": 2}, nil })
				assert.NoError(t, err)
			})
		}
		c.Delete("k")
		wg.Wait()
	}
}

// A caller that waits for SoftTimeout, and whose stale value is deleted meanwhile, waits for a new
// value as usual.
func TestDeletedWhileWaitingForStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := staling(t, softAfter)
		time.AfterFunc(softAfter/2, func() { c.Delete("k") })
		start := time.Now()
		var loads atomic.Int32
		v, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
			load := int(loads.Add(1))
			time.Sleep(time.Second)
			return 1 + load, nil
		})
		require.NoError(t, err)
		require.Equal(t, 3, v, "loaded after the delete")
		require.Equal(t, softAfter+time.Second, time.Since(start))
	})
}

// A load that asks for its own key gets a deadlock error, even if it is late by then: the stale
// value would be stored as a new one.
func TestLateLoadAsksForItsOwnKey(t *testing.T) {
	type fetches = func(context.Context, *cache.Cache[string, int]) (int, error)
	for name, ask := range map[string]fetches{
		"Fetch": func(ctx context.Context, c *cache.Cache[string, int]) (int, error) {
			return c.Fetch(ctx, "k", mustNotLoad[string, int](t))
		},
		"FetchMany": func(ctx context.Context, c *cache.Cache[string, int]) (int, error) {
			got, err := c.FetchMany(ctx, []string{"k"}, mustNotLoadMany[string, int](t))
			return got["k"], err
		},
		"by way of another": func(ctx context.Context, c *cache.Cache[string, int]) (int, error) {
			return c.Fetch(ctx, "other", func(ctx context.Context, _ string) (int, error) {
				return c.Fetch(ctx, "k", mustNotLoad[string, int](t))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := staling(t, softAfter)
				requireFetchResult := func(want error) {
					r, err := c.FetchResult(t.Context(), "k", func(ctx context.Context, _ string) (int, error) {
						time.Sleep(2 * softAfter)
						return ask(ctx, c)
					})
					require.NoError(t, err)
					require.Equal(t, 1, r.Value)
					require.ErrorIs(t, r.Err, want)
				}
				requireFetchResult(courier.ErrLate)
				time.Sleep(2 * softAfter)
				require.False(t, c.Contains("k"))
				requireFetchResult(courier.ErrDeadlock) // of the load that has failed
			})
		})
	}
}

// A caller that joins a load whose result is outdated by its tags waits for another one, but not
// longer in total than SoftTimeout.
func TestSoftTimeoutWithOutdatedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{
			TTL: staleTTL, StaleFor: staleFor, SoftTimeout: softAfter,
			Tags: func(_ string, v int) []string { return []string{fmt.Sprint("of ", v)} },
		})
		c.Set("k", 1)
		time.Sleep(staleTTL)
		const takes = softAfter * 8 / 10
		slow := func(v int) func(context.Context, string) (int, error) {
			return func(context.Context, string) (int, error) {
				time.Sleep(takes)
				return v, nil
			}
		}
		go func() { _, _ = c.Fetch(t.Context(), "k", slow(2)) }()
		time.Sleep(softAfter / 10)
		c.InvalidateTag("of 2")
		start := time.Now()
		r, err := c.FetchResult(t.Context(), "k", slow(3))
		require.NoError(t, err)
		require.Equal(t, 1, r.Value)
		require.ErrorIs(t, r.Err, courier.ErrLate)
		require.Equal(t, softAfter, time.Since(start))
		time.Sleep(takes)
		requireFetch(t, c, 3, mustNotLoad[string, int](t))
	})
}
