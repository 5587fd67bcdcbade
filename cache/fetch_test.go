package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

func TestFetch(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{})
	type ctxKey struct{}
	ctx := context.WithValue(t.Context(), ctxKey{}, "value")
	v, err := c.Fetch(ctx, "k", func(ctx context.Context, key string) (int, error) {
		require.Equal(t, "k", key)
		require.Equal(t, "value", ctx.Value(ctxKey{}))
		return 1, nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, v)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	v, err = c.Fetch(ended, "k", mustNotLoad[string, int](t))
	require.NoError(t, err, "a hit does not use the context")
	require.Equal(t, 1, v)
	_, err = c.Fetch(ended, "other", mustNotLoad[string, int](t))
	require.ErrorIs(t, err, context.Canceled)
	s := c.Stats()
	require.Equal(t, [4]uint64{1, 2, 1, 0}, [4]uint64{s.Hits, s.Misses, s.Loads, s.LoadErrors})
}

func TestHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{})
		loads := 0
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				v, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
					loads++
					time.Sleep(time.Second)
					return loads, nil
				})
				if v != 1 || err != nil {
					t.Error(v, err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, loads)
		require.Equal(t, uint64(1), c.Stats().Loads)
		require.Equal(t, uint64(1000), c.Stats().Misses)
		require.Equal(t, uint64(999), c.Stats().Courier.Joined)
	})
}

// A caller that missed before a value was stored, and starts a flight after that, gets it
// from the flight's second look.
func TestDoubleCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{Courier: []courier.Option{courier.WithMaxConcurrent(
			1)}})
		go func() { // takes the only turn
			_, _ = c.Fetch(t.Context(), "slow", func(context.Context, string) (int, error) {
				time.Sleep(time.Second)
				return 0, nil
			})
		}()
		synctest.Wait()
		done := make(chan int, 1)
		go func() { // has missed, and waits for its turn
			v, err := c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
			if err != nil {
				t.Error(err)
			}
			done <- v
		}()
		synctest.Wait()
		c.Set("k", 7)
		require.Equal(t, 7, <-done)
		require.Equal(t, uint64(1), c.Stats().Loads)
	})
}

func TestErrorsAreNotCached(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{})
	for i := range 3 {
		_, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
			return i, errLoad
		})
		require.ErrorIs(t, err, errLoad)
		require.Zero(t, c.Len())
	}
	require.Equal(t, uint64(3), c.Stats().LoadErrors)
	v, err := c.Fetch(t.Context(), "k", returns[string](1))
	require.NoError(t, err)
	require.Equal(t, 1, v)
}

// With back-off a failing key rests, and a Set, a Delete or a Clear ends that.
func TestBackoff(t *testing.T) {
	for name, end := range map[string]func(*cache.Cache[string, int]){
		"Set":    func(c *cache.Cache[string, int]) { c.Set("k", 1); c.Delete("k") },
		"Delete": func(c *cache.Cache[string, int]) { c.Delete("k") },
		"Clear":  func(c *cache.Cache[string, int]) { c.Clear() },
		"time":   func(*cache.Cache[string, int]) { time.Sleep(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, cache.Options[string, int]{Courier: []courier.Option{courier.WithBackoff(
					time.Second, time.Minute)}})
				_, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
					return 0, errLoad
				})
				require.ErrorIs(t, err, errLoad)
				_, err = c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
				var rests *courier.BackoffError
				require.ErrorAs(t, err, &rests)
				require.ErrorIs(t, err, errLoad)
				_, err = c.Fetch(t.Context(), "other", returns[string](1))
				require.NoError(t, err, "other keys do not back off")
				end(c)
				v, err := c.Fetch(t.Context(), "k", returns[string](2))
				require.NoError(t, err)
				require.Equal(t, 2, v)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // back-off does not affect a stored value
		c := newCache(t, cache.Options[string, int]{Courier: []courier.Option{courier.WithBackoff(
			time.Hour, time.Hour)}})
		_, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
			return 0, errLoad
		})
		require.ErrorIs(t, err, errLoad)
		c.Set("k", 3)
		v, err := c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
		require.NoError(t, err)
		require.Equal(t, 3, v)
	})
}

func TestNestedFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[int, int]{Courier: []courier.Option{courier.WithMaxConcurrent(1)}})
		var sum func(ctx context.Context, n int) (int, error)
		sum = func(ctx context.Context, n int) (int, error) {
			if n == 0 {
				return 0, nil
			}
			below, err := c.Fetch(ctx, n-1, sum)
			// StoreFor in a nested load applies to its own result.
			cache.StoreFor(ctx, time.Duration(n)*time.Second)
			return below + n, err
		}
		v, err := c.Fetch(t.Context(), 10, sum)
		require.NoError(t, err)
		require.Equal(t, 55, v)
		require.Equal(t, 11, c.Len())
		time.Sleep(5 * time.Second)
		require.Len(t, contents(c), 6, "0 without a TTL, and 6 to 10")
	})
}

func TestDeadlockIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{})
		next := map[string]string{"self": "self", "a": "b", "b": "a"}
		var follow func(ctx context.Context, key string) (int, error)
		follow = func(ctx context.Context, key string) (int, error) {
			return c.Fetch(ctx, next[key], follow)
		}
		for _, key := range []string{"self", "a"} {
			start := time.Now()
			_, err := c.Fetch(t.Context(), key, follow)
			require.ErrorIs(t, err, courier.ErrDeadlock)
			var deadlock *courier.DeadlockError
			require.ErrorAs(t, err, &deadlock)
			require.Contains(t, deadlock.Cycle, any(key))
			require.Zero(t, time.Since(start))
			v, err := c.Fetch(t.Context(), key, returns[string](1))
			require.NoError(t, err)
			require.Equal(t, 1, v)
			c.Clear()
		}
	})
}

// A caller that leaves returns at once, and the others go on waiting.
func TestCallersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{})
		load := func(ctx context.Context, _ string) (int, error) {
			select {
			case <-time.After(10 * time.Second):
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			start := time.Now()
			_, err := c.Fetch(impatient, "k", load)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
				t.Error(err, time.Since(start))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			v, err := c.Fetch(t.Context(), "k", load)
			if v != 1 || err != nil {
				t.Error(v, err)
			}
		})
		wg.Wait()
		require.Equal(t, 1, c.Len())
		require.Equal(t, uint64(1), c.Stats().Loads)

		// When the last caller has left, the load is cancelled, and nothing is stored.
		impatient, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Fetch(impatient, "other", load)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		require.Zero(t, c.Loads())
		require.Equal(t, 1, c.Len())
		require.Equal(t, uint64(1), c.Stats().LoadErrors)
	})
}

// The result of a load that ends after its flight is dropped.
func TestLateResultIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{Courier: []courier.Option{courier.WithTimeout(
			time.Second)}})
		deaf := func(context.Context, string) (int, error) {
			time.Sleep(time.Minute)
			return 1, nil
		}
		start := time.Now()
		_, err := c.Fetch(t.Context(), "k", deaf)
		require.ErrorIs(t, err, courier.ErrTimeout)
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 1, c.Stats().Courier.Abandoned)
		v, err := c.Fetch(t.Context(), "k", returns[string](2))
		require.NoError(t, err)
		require.Equal(t, 2, v)
		c.Delete("k")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Zero(t, c.Len())
		require.Zero(t, c.Loads())
		require.Zero(t, c.Stats().Courier.Abandoned)
		require.Equal(t, uint64(1), c.Stats().LoadErrors)
	})
}
