package cluster_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
)

// A program that uses a cache.Fetcher gets the same of a cache and of a cluster's.
func TestFetcher(t *testing.T) {
	errLoad := errors.New("disk on fire")
	load := func(_ context.Context, key string) (string, error) {
		switch key {
		case "none":
			return "", cache.ErrNotFound
		case "bad":
			return "", errLoad
		}
		return "value of " + key, nil
	}
	for name, open := range map[string]func(t *testing.T) cache.Fetcher[string, string]{
		"cache": func(t *testing.T) cache.Fetcher[string, string] {
			t.Helper()
			c, err := cache.NewLoading(cache.Options[string, string]{}, load)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, c.Close()) })
			return c
		},
		"cluster": func(t *testing.T) cache.Fetcher[string, string] {
			t.Helper()
			var from origin
			from.set(func(ctx context.Context, key string, _ int) (string, error) { return load(ctx, key) })
			return start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
				o.Errors = map[string]error{"load": errLoad}
			})[0].Cache
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			_, ok := f.Get("a")
			require.False(t, ok)
			v, err := f.Fetch(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, "value of a", v)
			v, ok = f.Get("a")
			require.True(t, ok)
			require.Equal(t, "value of a", v)
			_, err = f.Fetch(t.Context(), "none")
			require.ErrorIs(t, err, cache.ErrNotFound)
			_, err = f.Fetch(t.Context(), "bad")
			require.ErrorIs(t, err, errLoad)

			got, err := f.FetchMany(t.Context(), nil)
			require.NoError(t, err)
			require.Empty(t, got)
			got, err = f.FetchMany(t.Context(), []string{"a", "b", "none", "b", "bad"})
			require.Equal(t, map[string]string{"a": "value of a", "b": "value of b"}, got)
			var many *cache.ManyError[string]
			require.ErrorAs(t, err, &many)
			require.Len(t, many.ByKey, 1)
			require.ErrorIs(t, many.ByKey["bad"], errLoad)

			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = f.Fetch(ctx, "c")
			require.ErrorIs(t, err, context.Canceled)
			_, err = f.FetchMany(ctx, []string{"c"})
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}
