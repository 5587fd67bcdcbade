package cache_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newCache returns a cache that is audited and closed at the end of the test.
func newCache[K comparable, V any](tb testing.TB, o cache.Options[K, V]) *cache.Cache[K, V] {
	tb.Helper()
	c, err := cache.New(o)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		require.NoError(tb, c.Audit())
		require.NoError(tb, c.Close())
		require.NoError(tb, c.Audit(), "after Close")
		require.Zero(tb, c.Len(), "after Close")
	})
	return c
}

var errLoad = errors.New("load failed")

// fails returns a fetch function that returns err at once.
func fails[K comparable, V any](err error) func(context.Context, K) (V, error) {
	return func(context.Context, K) (v V, _ error) { return v, err }
}

// returns returns a fetch function that returns v at once.
func returns[K comparable, V any](v V) func(context.Context, K) (V, error) {
	return func(context.Context, K) (V, error) { return v, nil }
}

// mustNotLoad returns a fetch function for keys that are stored. It fails the test.
func mustNotLoad[K comparable, V any](tb testing.TB) func(context.Context, K) (V, error) {
	tb.Helper()
	return func(_ context.Context, key K) (v V, _ error) {
		tb.Errorf("key %v was loaded", key)
		return v, errLoad
	}
}

// contents returns the entries that All yields.
func contents[K comparable, V any](c *cache.Cache[K, V]) map[K]V {
	all := make(map[K]V)
	for k, v := range c.All() {
		all[k] = v
	}
	return all
}
