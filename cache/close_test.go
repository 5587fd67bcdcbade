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

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Options[string, int]{TTL: time.Hour})
		require.NoError(t, err)
		c.Set("k", 1)
		waiting := make(chan error, 1)
		go func() {
			_, err := c.Fetch(t.Context(), "slow", func(ctx context.Context, _ string) (int, error) {
				<-ctx.Done()
				return 1, nil
			})
			waiting <- err
		}()
		synctest.Wait()
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-waiting, cache.ErrClosed)
		for range 2 {
			_, ok := c.Get("k")
			require.False(t, ok)
			c.Set("k", 1)
			c.SetTTL("k", 1, time.Minute)
			require.Zero(t, c.Len())
			require.False(t, c.Delete("k"))
			c.Clear()
			require.Empty(t, contents(c))
			_, err = c.Fetch(t.Context(), "k", mustNotLoad[string, int](t))
			require.ErrorIs(t, err, cache.ErrClosed)
			require.ErrorIs(t, err, courier.ErrClosed)
			c.Stats()
			require.NoError(t, c.Close(), "again")
		}
	})
}

func TestCloseOfUnusedCache(t *testing.T) {
	c, err := cache.New(cache.Options[string, int]{TTL: time.Hour, RefreshAt: 0.1})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
}

// Close waits for a stuck fetch function for a second, and returns an error.
func TestCloseWithStuckLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Options[string, int]{})
		require.NoError(t, err)
		release := make(chan struct{})
		waiting := make(chan error, 1)
		go func() {
			_, err := c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
				<-release
				return 1, nil
			})
			waiting <- err
		}()
		synctest.Wait()
		start := time.Now()
		err = c.Close()
		require.Equal(t, time.Second, time.Since(start))
		var left *courier.ShutdownError
		require.ErrorAs(t, err, &left)
		require.Equal(t, 1, left.Abandoned)
		require.ErrorIs(t, <-waiting, cache.ErrClosed)
		close(release)
		synctest.Wait()
		require.Zero(t, c.Len(), "the late result is dropped")
		require.NoError(t, c.Close())
	})
}

// A callback that is stuck, or that closes the cache, does not delay Close for longer than its
// grace period. The entries for which it was not called are counted.
func TestCloseWhileCallbackIsStuck(t *testing.T) {
	t.Run("stuck", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			calls := 0
			c, err := cache.New(cache.Options[string, int]{
				OnEviction: func(string, int, cache.Reason) { calls++; <-release },
			})
			require.NoError(t, err)
			c.SetTTL("k", 1, time.Millisecond)
			c.Set("a", 1)
			c.Set("b", 1)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			start := time.Now()
			var stuck *cache.CallbackError
			require.ErrorAs(t, c.Close(), &stuck)
			require.Equal(t, 2, stuck.Dropped)
			require.Equal(t, time.Second, time.Since(start))
			require.Equal(t, uint64(2), c.Stats().CallbacksDropped)
			require.EqualError(t, c.Close(),
				"cache: OnEviction is still running: 0 notifications were dropped")
			close(release)
			synctest.Wait()
			require.NoError(t, c.Close())
			require.Equal(t, 1, calls)
		})
	})
	t.Run("closes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var c *cache.Cache[string, int]
			closed := make(chan error, 1)
			c, err := cache.New(cache.Options[string, int]{
				OnEviction: func(string, int, cache.Reason) { closed <- c.Close() },
			})
			require.NoError(t, err)
			c.SetTTL("k", 1, time.Millisecond)
			require.ErrorAs(t, <-closed, new(*cache.CallbackError))
			synctest.Wait()
			require.NoError(t, c.Close())
		})
	})
}

// Close leaves no goroutine and no callback, whatever is under way.
func TestCloseRaces(t *testing.T) {
	for range 200 {
		c, err := cache.New(cache.Options[int, int]{TTL: time.Hour, RefreshAt: 1e-12})
		require.NoError(t, err)
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 50 {
					k := (w + i) % 7
					c.Set(k, i)
					if _, err := c.Fetch(t.Context(), k+i%3, returns[int](i)); err != nil &&
						!errors.Is(err, cache.ErrClosed) {
						t.Error(err)
					}
					c.Delete(k)
				}
			})
		}
		for range 2 {
			wg.Go(func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Zero(t, c.Len())
		require.Zero(t, c.Loads())
		require.NoError(t, c.Audit())
	}
}
