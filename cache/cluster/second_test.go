package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
	"github.com/snowfence/snowfence/cache/cluster"
)

// A nodeStorage counts what one node asks of a storage.
type nodeStorage struct {
	*cachetest.Storage
	reads, deletes, invalidates atomic.Int64
}

func (s *nodeStorage) Read(
	ctx context.Context, keys []string, since uint64,
) (cache.Reading, error) {
	s.reads.Add(int64(len(keys)))
	return s.Storage.Read(ctx, keys, since)
}

func (s *nodeStorage) Delete(ctx context.Context, keys []string) error {
	s.deletes.Add(1)
	return s.Storage.Delete(ctx, keys)
}

func (s *nodeStorage) Invalidate(ctx context.Context, tags []string) error {
	s.invalidates.Add(1)
	return s.Storage.Invalidate(ctx, tags)
}

// withSecond gives each node a view of s, in which SoftTimeout is long, for busy machines.
func withSecond(
	s *cachetest.Storage, views *[]*nodeStorage,
) func(int, *cluster.Options[string]) {
	return func(_ int, o *cluster.Options[string]) {
		view := &nodeStorage{Storage: s}
		*views = append(*views, view)
		o.Ownership, o.CopyTTL, o.PeerTimeout = cluster.ByRing, -1, 20*time.Second
		o.Cache.TTL = time.Hour
		o.Cache.SecondLevel.Storage = view
		o.Cache.SecondLevel.SoftTimeout, o.Cache.SecondLevel.Timeout = time.Minute, time.Minute
		o.Cache.Tags = func(key, _ string) []string { return []string{"tag of " + key} }
	}
}

// warmSecond makes the log known to all nodes.
func warmSecond(t *testing.T, s *cachetest.Storage, nodes []*node) {
	t.Helper()
	i := 0
	require.Eventually(t, func() bool {
		for range 20 {
			i++
			for _, n := range nodes {
				_, err := n.Fetch(t.Context(), fmt.Sprint("warm", i))
				require.NoError(t, err)
			}
		}
		return len(s.Records()) > 40
	}, startLimit, 20*time.Millisecond)
}

// TestOwnersUseSecondLevel: a key's owner alone asks the second level, once, and a new owner finds
// there what the old one had.
func TestOwnersUseSecondLevel(t *testing.T) {
	s := cachetest.NewStorage(t)
	var from origin
	var views []*nodeStorage
	nodes := start(t, 3, &from, withSecond(s, &views))
	warmSecond(t, s, nodes)
	reads := func() (n int64) {
		for _, v := range views {
			n += v.reads.Load()
		}
		return n
	}
	before := reads()
	const keys = 100
	fetchAll := func(nodes []*node) {
		for i := range keys {
			key := fmt.Sprint("key", i)
			for _, n := range nodes {
				v, err := n.Fetch(t.Context(), key)
				require.NoError(t, err)
				require.Equal(t, key+"#1", v)
			}
		}
	}
	fetchAll(nodes)
	require.EqualValues(t, keys, reads()-before, "each key is read once, by its owner")
	for i := range keys {
		require.Eventually(t, func() bool {
			_, ok := s.Records()[fmt.Sprint("key", i)]
			return ok
		}, startLimit, time.Millisecond)
	}
	loads := from.total.Load()
	nodes[0].stop(t)
	waitForFakes(t, nodes[1], 1)
	waitForFakes(t, nodes[2], 1)
	fetchAll(nodes[1:])
	require.Equal(t, loads, from.total.Load(), "new owners load nothing")
	require.Greater(t, reads()-before, int64(keys))
}

// TestDeleteReachesSecondLevel: a delete is sent once, by the node that deletes, and before the
// other nodes remove their entries.
func TestDeleteReachesSecondLevel(t *testing.T) {
	s := cachetest.NewStorage(t)
	var from origin
	var views []*nodeStorage
	nodes := start(t, 3, &from, withSecond(s, &views))
	warmSecond(t, s, nodes)
	for name, remove := range map[string]func(n *node, key string) error{
		"Delete":        func(n *node, key string) error { return n.Delete(t.Context(), key) },
		"InvalidateTag": func(n *node, key string) error { return n.InvalidateTag(t.Context(), "tag of "+key) },
		"Clear":         func(n *node, _ string) error { return n.Clear(t.Context()) },
	} {
		for i, n := range nodes {
			key := fmt.Sprint(name, i)
			v, err := nodes[0].Fetch(t.Context(), key)
			require.NoError(t, err)
			require.Equal(t, key+"#1", v)
			require.Eventually(t, func() bool { return s.Records()[key] != nil }, startLimit,
				time.Millisecond)
			var before int64
			for _, v := range views {
				before += v.deletes.Load() + v.invalidates.Load()
			}
			require.NoError(t, remove(n, key))
			var after int64
			for _, v := range views {
				after += v.deletes.Load() + v.invalidates.Load()
			}
			require.EqualValues(t, 1, after-before, name)
			for _, n := range nodes {
				v, err := n.Fetch(t.Context(), key)
				require.NoError(t, err)
				require.Equal(t, key+"#2", v, name)
			}
		}
	}
}

// TestDeleteWhileSecondLevelIsAway: a delete does not wait for ever for a second level that is
// away, and is made up for on all nodes once that is back.
func TestDeleteWhileSecondLevelIsAway(t *testing.T) {
	s := cachetest.NewStorage(t)
	var from origin
	var views []*nodeStorage
	change := withSecond(s, &views)
	nodes := start(t, 2, &from, func(i int, o *cluster.Options[string]) {
		change(i, o)
		o.Cache.SecondLevel.Timeout = 100 * time.Millisecond
	})
	warmSecond(t, s, nodes)
	_, err := nodes[0].Fetch(t.Context(), "k")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Records()["k"] != nil }, startLimit,
		time.Millisecond)
	s.SetFault(cachetest.StorageFault{Err: errors.New("away")})
	for _, n := range nodes {
		require.NoError(t, n.Delete(t.Context(), "k"))
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, nodes[0].Flush(over), context.Canceled)
	s.SetFault(cachetest.StorageFault{})
	for _, n := range nodes {
		require.NoError(t, n.Flush(t.Context()))
	}
	require.Eventually(t, func() bool {
		for _, n := range nodes {
			if v, err := n.Fetch(t.Context(), "k"); err != nil || v == "k#1" {
				return false
			}
		}
		return nodes[0].Stats().Store.SecondPending+nodes[1].Stats().Store.SecondPending == 0
	}, startLimit, time.Millisecond)
}

// TestSecondLevelOfBatches: the owner of several keys reads them at once.
func TestSecondLevelOfBatches(t *testing.T) {
	s := cachetest.NewStorage(t)
	var from origin
	var views []*nodeStorage
	change := withSecond(s, &views)
	loaded := make(chan []string, 100)
	nodes := start(t, 1, &from, func(i int, o *cluster.Options[string]) {
		change(i, o)
		o.LoadMany = func(_ context.Context, keys []string) (map[string]string, error) {
			loaded <- keys
			m := make(map[string]string)
			for _, key := range keys {
				m[key] = "many " + key
			}
			return m, nil
		}
	})
	warmSecond(t, s, nodes)
	_, err := nodes[0].FetchMany(t.Context(), []string{"1", "2"})
	require.NoError(t, err)
	<-loaded
	require.Eventually(t, func() bool {
		all := s.Records()
		return all["1"] != nil && all["2"] != nil
	}, startLimit, time.Millisecond)
	nodes[0].stop(t)

	again := start(t, 1, &from, func(i int, o *cluster.Options[string]) {
		change(i, o)
		o.LoadMany = func(_ context.Context, keys []string) (map[string]string, error) {
			loaded <- keys
			return map[string]string{"3": "many 3"}, nil
		}
	})
	before := s.Counts().Reads
	m, err := again[0].FetchMany(t.Context(), []string{"1", "2", "3"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"1": "many 1", "2": "many 2", "3": "many 3"}, m)
	require.Equal(t, []string{"3"}, <-loaded)
	require.Equal(t, 1, s.Counts().Reads-before)
}
