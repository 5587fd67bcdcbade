package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

func TestPeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, int]{Capacity: 2, TTL: time.Minute})
		_, _, ok := c.Peek("a")
		require.False(t, ok)
		c.Set("a", 1)
		c.SetTTL("b", 2, 0)
		time.Sleep(20 * time.Second)

		v, ttl, ok := c.Peek("a")
		require.True(t, ok)
		require.Equal(t, 1, v)
		require.Equal(t, 40*time.Second, ttl)
		v, ttl, ok = c.Peek("b")
		require.True(t, ok)
		require.Equal(t, 2, v)
		require.Equal(t, cache.Forever, ttl)
		require.Zero(t, c.Stats().Hits, "Peek counts nothing")
		require.Zero(t, c.Stats().Misses, "Peek counts nothing")

		c.Set("c", 3)
		_, _, ok = c.Peek("a")
		require.False(t, ok, "Peek did not make it look used, so it was the oldest")
		time.Sleep(time.Minute)
		_, _, ok = c.Peek("c")
		require.False(t, ok, "expired")
	})
}

func TestStoreTTL(t *testing.T) {
	c := newCache(t, cache.Options[string, int]{TTL: time.Minute})
	ttl, ok := cache.StoreTTL(t.Context())
	require.False(t, ok)
	require.Zero(t, ttl)
	_, err := c.Fetch(t.Context(), "a", func(ctx context.Context, _ string) (int, error) {
		ttl, ok := cache.StoreTTL(ctx)
		require.True(t, ok)
		require.Equal(t, time.Minute, ttl)
		cache.StoreFor(ctx, time.Second)
		ttl, _ = cache.StoreTTL(ctx)
		require.Equal(t, time.Second, ttl)
		cache.StoreFor(ctx, 0)
		ttl, _ = cache.StoreTTL(ctx)
		require.Zero(t, ttl)
		return 1, nil
	})
	require.NoError(t, err)

	c = newCache(t, cache.Options[string, int]{})
	_, err = c.Fetch(t.Context(), "a", func(ctx context.Context, _ string) (int, error) {
		ttl, ok := cache.StoreTTL(ctx)
		require.True(t, ok)
		require.Equal(t, cache.Forever, ttl)
		return 1, nil
	})
	require.NoError(t, err)
}
