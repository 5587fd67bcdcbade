package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// A key that is deleted while a batch is under way is not stored; other keys of the batch are.
func TestDeleteDuringABatch(t *testing.T) {
	var from batches
	nodes := startMany(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.CopyTTL, o.Cache.Tags = time.Hour, func(key, _ string) []string { return []string{key} }
	})
	keys := keysOf(20)
	gate, began := make(chan struct{}), make(chan struct{}, 100)
	from.set(func(_ context.Context, key string, n int) (string, error) {
		if n == 1 {
			began <- struct{}{}
			<-gate
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	done := make(chan error, 1)
	go func() {
		_, err := nodes[0].FetchMany(t.Context(), keys)
		done <- err
	}()
	<-began
	<-began // on both nodes
	require.NoError(t, nodes[1].Delete(t.Context(), keys[3]))
	require.NoError(t, nodes[1].InvalidateTag(t.Context(), keys[4]))
	close(gate)
	require.NoError(t, <-done)
	want := firsts(keys)
	want[keys[3]], want[keys[4]] = keys[3]+"#2", keys[4]+"#2"
	for _, n := range nodes {
		got, err := n.FetchMany(t.Context(), keys)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// A request for many keys also brings a delete to an owner that has missed it.
func TestDeleteThatABatchTells(t *testing.T) {
	for name, change := range map[string]func(ctx context.Context, n *node) error{
		"delete": func(ctx context.Context, n *node) error { return n.Delete(ctx, "key3") },
		"tag":    func(ctx context.Context, n *node) error { return n.InvalidateTag(ctx, "tag of k") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from batches
			walls := make([]*wall, 2)
			nodes := startMany(t, 2, &from, func(i int, o *cluster.Options[string]) {
				transport := peer.DefaultTransport(nil)
				t.Cleanup(transport.CloseIdleConnections)
				walls[i] = &wall{RoundTripper: transport, deletes: true}
				o.Transport, o.CopyTTL, o.Cache.Tags = walls[i], time.Hour, tagOf
			})
			keys := keysOf(20)
			for _, n := range nodes {
				_, err := n.FetchMany(t.Context(), keys)
				require.NoError(t, err)
			}
			for _, w := range walls {
				w.up.Store(true)
			}
			require.ErrorAs(t, change(t.Context(), nodes[0]), new(*cluster.UnconfirmedError))
			got, err := nodes[0].FetchMany(t.Context(), keys)
			require.NoError(t, err)
			require.Equal(t, "key3#2", got["key3"])
			if name == "tag" {
				for _, key := range keys {
					require.Equal(t, key+"#2", got[key])
				}
			}
		})
	}
}

// Stale values are given key by key, by owners and by this node.
func TestFetchManyOfStaleValues(t *testing.T) {
	var from batches
	nodes := startMany(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		stale(o)
		o.CopyTTL = time.Millisecond
	})
	keys := keysOf(30)
	for _, n := range nodes {
		_, err := n.FetchMany(t.Context(), keys)
		require.NoError(t, err)
	}
	from.set(func(_ context.Context, key string, n int) (string, error) {
		if key == "new" || from.count(key) > 0 && key != "key7" {
			return "", errOrigin
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	require.Eventually(t, func() bool {
		for _, n := range nodes {
			for _, key := range keys {
				if _, ok := n.Get(key); ok {
					return false
				}
			}
		}
		return true
	}, 20*time.Second, 10*time.Millisecond)
	check := func(n *node) {
		t.Helper()
		got, err := n.FetchMany(t.Context(), append(keys, "new"))
		var many *cache.ManyError[string]
		require.ErrorAs(t, err, &many)
		require.ErrorContains(t, many.ByKey["new"], errOrigin.Error())
		require.Len(t, many.ByKey, 1)
		require.Len(t, got, len(keys))
	}
	for _, n := range nodes {
		check(n)
		require.Positive(t, n.Stats().Stale)
		require.Zero(t, n.Stats().LocalLoads)
	}
	nodes[1].unplug()
	nodes[2].unplug()
	check(nodes[0])
	require.Positive(t, nodes[0].Stats().LocalLoads)
}

// Entries that are due are refreshed, in a batch.
func TestFetchManyRefreshes(t *testing.T) {
	var from batches
	n := startMany(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Cache.TTL, o.Cache.RefreshAt = time.Hour, 1e-9
	})[0]
	keys := keysOf(20)
	_, err := n.FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		got, err := n.FetchMany(t.Context(), keys)
		require.NoError(t, err)
		require.Len(t, got, len(keys))
		for _, key := range keys {
			if got[key] == key+"#1" {
				return false
			}
		}
		return true
	}, 20*time.Second, time.Millisecond)
	require.GreaterOrEqual(t, n.Stats().Store.Refreshes, uint64(20))
}

// Values that are due are refreshed by owner. A silent owner delays no key of another one, and
// other nodes get this node's own keys meanwhile.
func TestManyAreRefreshedByOwner(t *testing.T) {
	var from batches
	nodes := startMany(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.CopyTTL, o.Cache.TTL, o.Cache.RefreshAt = time.Hour, time.Hour, 1e-9 // due at once
	})
	a, b := nodes[0], nodes[1]
	ofA, ofB := "", ""
	for i := 0; ofA == "" || ofB == ""; i++ {
		key, before := fmt.Sprint("key", i), b.Stats().Loads
		_, err := a.Fetch(t.Context(), key)
		require.NoError(t, err)
		if b.Stats().Loads > before {
			ofB = key
		} else {
			ofA = key
		}
	}
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	defer close(release)
	b.handler.Store(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	_, err := a.FetchMany(t.Context(), []string{ofA, ofB})
	require.NoError(t, err)
	<-arrived
	require.Eventually(t, func() bool {
		v, _ := a.Get(ofA)
		return v == ofA+"#2"
	}, 5*time.Second, time.Millisecond, "it waits for another owner")
	require.Zero(t, a.Stats().LocalLoads)
}

// A copy of a batch ends no later than the owner's entry, however long other keys of it take.
func TestCopiesOfASlowBatch(t *testing.T) {
	const keep = time.Second // the rest of the TTL of the owner's entries
	var from batches
	n := startByRing(t, &from, nil)
	var asked sync.Map
	var slow atomic.Value // the first key that is asked for, which its owner can't send
	f := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		asked.Store(key, true)
		if slow.CompareAndSwap(nil, key) || slow.Load() == key {
			return peer.Value{}, peer.ErrUnsendable
		}
		return peer.Value{Data: []byte(key), Keep: keep}, nil
	})
	waitForFakes(t, n, 1)
	from.set(func(_ context.Context, key string, _ int) (string, error) {
		if slow.Load() == key {
			time.Sleep(keep + keep/10)
		}
		return key, nil
	})
	got, err := n.FetchMany(t.Context(), keysOf(20))
	require.NoError(t, err)
	require.Len(t, got, 20)
	require.NotEmpty(t, f.requests())
	asked.Range(func(k, _ any) bool {
		key, _ := k.(string)
		_, held := n.Get(key)
		require.Equal(t, slow.Load() == key, held, "%s: its owner's entry has ended", key)
		return true
	})
}
