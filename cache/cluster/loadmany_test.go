package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/courier"
)

// LoadMany may sort the keys that it is given, as the owner of keys and in place of one.
func TestLoadManyOwnsItsKeys(t *testing.T) {
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) {
		o.LoadMany = func(ctx context.Context, keys []string) (map[string]string, error) {
			slices.Sort(keys)
			values, err := from.LoadMany(ctx, keys)
			clear(keys)
			return values, err
		}
	})
	keys := append([]string{"b", "c", "a"}, startBusy(t, n, 10)...)
	slices.SortFunc(keys, func(x, y string) int { return strings.Compare(y, x) })
	got, err := n.FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Len(t, got, len(keys))
	for _, key := range keys {
		require.Equal(t, key, strings.Split(got[key], "#")[0])
		v, ok := n.Get(key)
		require.True(t, ok)
		require.Equal(t, got[key], v)
	}
}

// All who wait for a key, on all nodes, get its outcome, and that of no other key.
func TestErrorsOfLoadMany(t *testing.T) {
	var from batches
	from.set(func(_ context.Context, key string, n int) (string, error) {
		switch {
		case strings.HasPrefix(key, "bad"):
			return "", fmt.Errorf("row of %s: %w", key, errNotFound)
		case strings.HasPrefix(key, "none"):
			return "", cache.ErrNotFound
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	nodes := startMany(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		o.Errors = map[string]error{"not-found": errNotFound}
	})
	good := keysOf(30)
	keys := slices.Clone(good)
	for i := range 10 {
		keys = append(keys, fmt.Sprint("bad", i), fmt.Sprint("none", i))
	}
	keys = append(keys, string(make([]byte, cluster.DefaultMaxKey+1)))
	sum := 0
	for _, n := range nodes {
		got, err := n.FetchMany(t.Context(), keys)
		require.Equal(t, firsts(good), got)
		var many *cache.ManyError[string]
		require.ErrorAs(t, err, &many)
		require.Len(t, many.ByKey, 10+1)
		remote := 0
		for key, err := range many.ByKey {
			if len(key) > cluster.DefaultMaxKey {
				require.ErrorAs(t, err, new(*cluster.KeyError))
				continue
			}
			require.ErrorIs(t, err, errNotFound)
			require.ErrorContains(t, err, "row of "+key)
			var load *cluster.LoadError
			if errors.As(err, &load) {
				require.Equal(t, key, load.Key)
				remote++
			}
		}
		sum += remote
		require.Zero(t, n.Stats().LocalLoads)
		_, err = n.Fetch(t.Context(), "none0")
		require.ErrorIs(t, err, cache.ErrNotFound)
	}
	require.Equal(t, 2*10, sum, "each key is another node's on two of three")
}

// A *ManyError without values is the error of the keys that it does not name, as in package cache.
func TestErrorsOfLoadManyWithoutValues(t *testing.T) {
	var from batches
	failed := &cache.ManyError[string]{ByKey: map[string]error{"named": errNotFound}}
	nodes := startMany(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.LoadMany = func(context.Context, []string) (map[string]string, error) { return nil, failed }
	})
	keys := append(keysOf(30), "named")
	got, err := nodes[0].FetchMany(t.Context(), keys)
	require.Empty(t, got)
	var many *cache.ManyError[string]
	require.ErrorAs(t, err, &many)
	require.Len(t, many.ByKey, len(keys))
	for key, err := range many.ByKey {
		require.ErrorContains(t, err, errNotFound.Error(), key)
		require.NotErrorIs(t, err, cache.ErrNotFound)
	}
}

// A call of LoadMany that dies is an error of all keys of that owner, on all nodes.
func TestLoadManyDies(t *testing.T) {
	for name, die := range map[string]func(){
		"panic": func() { panic("boom") }, "goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from origin
			nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
				o.PeerTimeout = 10 * time.Second
				o.LoadMany = func(context.Context, []string) (map[string]string,
					error) {
					die()
					return nil, nil
				}
			})
			keys := keysOf(30)
			for _, n := range nodes {
				got, err := n.FetchMany(t.Context(), keys)
				require.Empty(t, got)
				var many *cache.ManyError[string]
				require.ErrorAs(t, err, &many)
				require.Len(t, many.ByKey, len(keys))
				for _, err := range many.ByKey {
					if name == "goexit" {
						require.ErrorIs(t, err, courier.ErrGoexit)
					} else {
						require.ErrorContains(t, err, "boom")
					}
				}
				require.Zero(t, n.Stats().LocalLoads, "no node loads again")
			}
			loads, failures := uint64(0), uint64(0)
			for _, n := range nodes {
				s := n.Stats()
				loads, failures = loads+s.Loads, failures+s.LoadErrors
			}
			require.Equal(t, loads, failures)
			require.Positive(t, loads)
		})
	}
}

// LoadMany gets no more keys than MaxBatch, on the owner and in place of one.
func TestMaxBatch(t *testing.T) {
	var from batches
	nodes := startMany(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.Cache.MaxBatch = 7 })
	keys := keysOf(100)
	got, err := nodes[0].FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, firsts(keys), got)
	require.LessOrEqual(t, slices.Max(from.sizes), 7)
	require.NoError(t, nodes[0].Clear(t.Context()))
	nodes[1].unplug()
	got, err = nodes[0].FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Len(t, got, len(keys))
	require.Positive(t, nodes[0].Stats().LocalLoads)
	require.LessOrEqual(t, slices.Max(from.sizes), 7)
	require.EqualValues(t, 200, from.total.Load())
}

// Keys that LoadMany was not asked for are ignored, since this node may not own them.
func TestExtraKeys(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.LoadMany = func(_ context.Context, keys []string) (map[string]string, error) {
			values := firsts(keys)
			maps.Copy(values, map[string]string{"extra1": "x", "extra2": "x"})
			return values, nil
		}
	})
	keys := keysOf(10)
	got, err := nodes[0].FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, firsts(keys), got)
	for _, n := range nodes {
		for _, key := range []string{"extra1", "extra2"} {
			_, ok := n.Get(key)
			require.False(t, ok)
		}
	}
	require.Equal(t, 10, nodes[0].Stats().Entries, "with copies")
	require.Equal(t, nodes[0].Stats().Copies, nodes[1].Stats().Entries)
}
