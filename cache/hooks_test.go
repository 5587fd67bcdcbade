package cache_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

// hooked makes a cache with hooks, in a bubble.
func hooked(
	t *testing.T, o cache.Options[string, int],
) (*cache.Cache[string, int], hook.Store[string, int]) {
	t.Helper()
	c, err := cache.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, hook.Of[string, int](c)
}

// OnChange reports each entry that is stored or removed, and f sees the current state.
func TestHookOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h := hooked(t, cache.Options[string, int]{
			MaxWeight: 100,
			Weigher:   func(_ string, v int) uint32 { return uint32(v) }, //nolint:gosec // small
		})
		there := make(map[string]uint32)
		h.OnChange(func(key string) {
			if weight, ok := h.Weight(key); ok {
				there[key] = weight
			} else {
				delete(there, key)
			}
		})
		c.Set("a", 10)
		c.Set("b", 20)
		_, err := c.Fetch(t.Context(), "c", func(context.Context, string) (int, error) { return 30, nil })
		require.NoError(t, err)
		require.Equal(t, map[string]uint32{"a": 10, "b": 20, "c": 30}, there)
		c.Set("a", 11)
		c.Delete("b")
		h.Evict("c")
		h.Evict("none")
		require.Equal(t, map[string]uint32{"a": 11}, there)
		require.EqualValues(t, 1, c.Stats().Evictions)
		c.Set("a", 101) // too heavy
		require.Empty(t, there)
		c.Set("a", 1)
		c.Clear()
		require.Empty(t, there)
	})
}

func TestHookShorten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h := hooked(t, cache.Options[string, int]{TTL: time.Hour, StaleFor: time.Hour})
		c.Set("long", 1)
		c.SetTTL("short", 2, time.Second)
		c.SetTTL("forever", 3, cache.Forever)
		c.SetTTL("stale", 4, time.Nanosecond)
		c.Set("removed", 5)
		time.Sleep(time.Millisecond)
		for _, key := range []string{"long", "short", "forever", "stale", "none"} {
			h.Shorten(key, time.Minute)
		}
		h.Shorten("removed", -1)
		for key, want := range map[string]time.Duration{
			"long": time.Minute, "short": time.Second - time.Millisecond, "forever": time.Minute,
			"stale": time.Nanosecond - time.Millisecond,
		} {
			_, ttl, ok := c.Peek(key)
			require.True(t, ok, key)
			require.Equal(t, want, ttl, key)
		}
		_, _, ok := c.Peek("removed")
		require.False(t, ok)
	})
}

// A hit is counted once. A key that would begin a load is no hit, and FetchMany counts it.
func TestHookHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h := hooked(t, cache.Options[string, int]{TTL: time.Hour, RefreshAt: 0.5})
		c.Set("a", 1)
		c.SetTTL("forever", 2, cache.Forever)
		var now int64
		v, ttl, ok := h.Hit("a", &now)
		require.True(t, ok)
		require.Equal(t, 1, v)
		require.Equal(t, time.Hour, ttl)
		_, ttl, ok = h.Hit("forever", &now)
		require.True(t, ok)
		require.Equal(t, cache.Forever, ttl)
		_, _, ok = h.Hit("none", &now)
		require.False(t, ok)
		require.EqualValues(t, 2, c.Stats().Hits)
		require.Zero(t, c.Stats().Misses)

		time.Sleep(59 * time.Minute)
		_, _, ok = h.Hit("a", nil)
		require.False(t, ok, "the entry is due")
		var mu sync.Mutex // guards loaded
		var loaded []string
		for i, o := range h.FetchMany(t.Context(), []string{"a", "none", "fails"}, func(
			_ context.Context, keys []string, results []hook.Loaded[int],
		) {
			mu.Lock()
			loaded = append(loaded, keys...)
			mu.Unlock()
			for i, key := range keys {
				results[i] = hook.Loaded[int]{Value: 7, TTL: time.Minute, HasTTL: true}
				if key == "fails" {
					results[i].Err = errors.New("it fails")
				}
			}
			if keys[0] == "none" {
				time.Sleep(time.Second) // after the refresh
			}
		}) {
			require.Equal(t, i == 2, o.Err != nil)
			require.Equal(t, []int{1, 7, o.Value}[i], o.Value)
		}
		mu.Lock()
		defer mu.Unlock()
		require.ElementsMatch(t, []string{"a", "none", "fails"}, loaded)
		require.EqualValues(t, 3, c.Stats().Hits)
		require.EqualValues(t, 2, c.Stats().Misses)
		for _, key := range []string{"a", "none"} {
			now = 0
			v, ttl, ok := h.Hit(key, &now)
			require.True(t, ok, key)
			require.Equal(t, 7, v)
			require.LessOrEqual(t, ttl, time.Minute)
		}
	})
}

// StoreFor bounds how long ErrNotFound is remembered, too.
func TestStoreForOfNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := hooked(t, cache.Options[string, int]{NotFoundTTL: time.Hour})
		var loads atomic.Int64
		fetch := func(ctx context.Context, key string) (int, error) {
			loads.Add(1)
			if key == "short" {
				cache.StoreFor(ctx, time.Minute)
			}
			return 0, cache.ErrNotFound
		}
		for range 3 {
			for _, key := range []string{"short", "usual"} {
				_, err := c.Fetch(t.Context(), key, fetch)
				require.ErrorIs(t, err, cache.ErrNotFound)
			}
			time.Sleep(40 * time.Second)
		}
		require.EqualValues(t, 3, loads.Load(), "the one with the short TTL is loaded twice")
	})
}

// An error that another process answered does not make the key back off.
func TestHookAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h := hooked(t, cache.Options[string, int]{
			Courier: []courier.Option{courier.WithBackoff(time.Hour, time.Hour)},
		})
		other := errors.New("of another process")
		for range 2 {
			_, _, err := h.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
				return 0, &hook.Answer{Err: other}
			})
			require.ErrorIs(t, err, other)
		}
		own := errors.New("of this one")
		fails := func(context.Context, string) (int, error) { return 0, own }
		_, err := c.Fetch(t.Context(), "k", fails)
		require.ErrorIs(t, err, own)
		_, err = c.Fetch(t.Context(), "k", fails)
		require.ErrorAs(t, err, new(*courier.BackoffError))
	})
}
