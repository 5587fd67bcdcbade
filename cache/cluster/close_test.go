package cluster_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
)

func TestClose(t *testing.T) {
	var from origin
	nodes := start(t, 3, &from, nil)
	for i := range 30 {
		_, err := nodes[0].Fetch(t.Context(), strconv.Itoa(i))
		require.NoError(t, err)
	}
	nodes[1].stop(t)
	_, err := nodes[1].Fetch(t.Context(), "x")
	require.ErrorIs(t, err, cluster.ErrClosed)
	require.ErrorIs(t, nodes[1].Delete(t.Context(), "x"), cluster.ErrClosed)
	require.NoError(t, nodes[1].Close(), "again")
	require.Eventually(t, func() bool { // its names are free
		for claim := range nodes[0].registry.All() {
			if claim.Node == nodes[1].name {
				return false
			}
		}
		return len(nodes[0].Stats().Peers) == 1
	}, 20*time.Second, 5*time.Millisecond)
	for i := range 60 {
		for _, n := range others(nodes, nodes[1]) {
			_, err := n.Fetch(t.Context(), strconv.Itoa(i))
			require.NoError(t, err)
		}
	}
}

// A node that closes while it loads for another one does not wait for that load, and its asker gets the value in another way.
func TestCloseDuringALoad(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, nil)
	key := ""
	for i := 0; nodes[1].Stats().Loads == 0; i++ { // one that the other node owns
		key = strconv.Itoa(i)
		_, err := nodes[0].Fetch(t.Context(), key)
		require.NoError(t, err)
	}
	require.NoError(t, nodes[0].Delete(t.Context(), key))
	began := make(chan struct{}, 1)
	from.set(func(ctx context.Context, key string, n int) (string, error) {
		if n == 2 {
			began <- struct{}{}
			<-ctx.Done()
			return "", context.Cause(ctx)
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	got := make(chan string, 1)
	go func() {
		v, err := nodes[0].Fetch(t.Context(), key)
		assert.NoError(t, err)
		got <- v
	}()
	<-began
	nodes[1].stop(t) // which requires that Close succeeds
	require.Equal(t, key+"#3", <-got)
}
