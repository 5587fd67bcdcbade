package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
)

// StoreFor in a load of one key does not affect the other keys that are loaded in place of an
// owner.
func TestStoreForOfOneKeyOfMany(t *testing.T) {
	var from origin
	n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.CopyTTL = cluster.ByRing, time.Hour
	})[0]
	theirs := startBusy(t, n, 4)
	from.set(func(ctx context.Context, key string, _ int) (string, error) {
		if key == theirs[1] {
			cache.StoreFor(ctx, 0)
		}
		return "v", nil
	})
	got, err := n.FetchMany(t.Context(), theirs)
	require.NoError(t, err)
	require.Len(t, got, 4)
	for i, key := range theirs {
		_, ok := n.Get(key)
		require.Equal(t, i != 1, ok, "key %d", i)
	}
}

// StoreFor in one call of LoadMany in place of an owner does not affect the keys of another call.
func TestStoreForOfOneBatchOfMany(t *testing.T) {
	var from origin
	var n *node
	var theirs []string
	n = start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.CopyTTL, o.Cache.MaxBatch = cluster.ByRing, time.Hour, 2
		o.LoadMany = func(ctx context.Context, keys []string) (map[string]string, error) {
			if slices.Contains(keys, theirs[1]) {
				cache.StoreFor(ctx, 0)
			} else if slices.Contains(keys, theirs[3]) {
				cache.StoreFor(ctx, cache.Forever)
			}
			return firsts(keys), nil
		}
	})[0]
	theirs = startBusy(t, n, 6)
	got, err := n.FetchMany(t.Context(), theirs)
	require.NoError(t, err)
	require.Equal(t, firsts(theirs), got)
	for i, key := range theirs {
		_, ok := n.Get(key)
		require.Equal(t, i > 1, ok, "key %d", i)
	}
}

// theirsOf returns keys of which n has copies.
func theirsOf(t *testing.T, n *node, count int) (keys []string) {
	t.Helper()
	for i := 0; len(keys) < count; i++ {
		require.Less(t, i, 1000)
		if v, ok := n.Get(fmt.Sprint("key", i)); ok && v == "x" {
			keys = append(keys, fmt.Sprint("key", i))
		}
	}
	return keys
}
