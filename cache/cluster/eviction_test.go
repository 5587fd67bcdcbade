package cluster_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
)

// OnEviction may use the cache, also while deletes of another node are applied, and close it.
func TestEvictionThatUsesTheCache(t *testing.T) {
	var from origin
	var nodes []*node
	ready := make(chan struct{})
	var calls atomic.Int64
	nodes = start(t, 2, &from, func(i int, o *cluster.Options[string]) {
		o.Cache.Capacity, o.Cache.Tags, o.CopyTTL = 50, tagOf, time.Hour
		o.Cache.OnEviction = func(string, string, cache.Reason) {
			<-ready
			n := nodes[i]
			switch calls.Add(1) % 4 {
			case 0:
				_ = n.Delete(context.Background(), "k of the callback")
			case 1:
				_, _ = n.Fetch(context.Background(), "k of the callback")
			case 2:
				_ = n.InvalidateTag(context.Background(), "tag of k")
			default:
				_ = n.Clear(context.Background())
			}
		}
	})
	close(ready)
	for round := range 5 {
		for i := range 60 {
			_, err := nodes[i%2].Fetch(t.Context(), fmt.Sprint("k", i))
			require.NoError(t, err)
		}
		for i := range 60 {
			require.NoError(t, nodes[round%2].Delete(t.Context(), fmt.Sprint("k", i)))
		}
		require.NoError(t, nodes[round%2].Clear(t.Context()))
	}
	require.NotZero(t, calls.Load())
}

func TestEvictionThatCloses(t *testing.T) {
	var from origin
	var n *node
	closed := make(chan error, 1)
	n = start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Cache.Capacity = 10
		o.Cache.OnEviction = func(string, string, cache.Reason) {
			select {
			case closed <- n.Close():
			default:
			}
		}
	})[0]
	for i := 0; ; i++ {
		if _, err := n.Fetch(t.Context(), fmt.Sprint("k", i)); err != nil {
			require.ErrorIs(t, err, cluster.ErrClosed)
			break
		}
	}
	var callback *cache.CallbackError
	require.ErrorAs(t, <-closed, &callback, "it has waited for itself, for a second")
	n.stopped.Do(func() { // its Close fails
		n.unplug()
		require.NoError(t, n.registry.Close())
	})
}
