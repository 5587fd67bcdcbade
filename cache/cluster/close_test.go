package cluster_test

import (
	"context"
	"fmt"
	"net/http"
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

// A node that closes while it loads for another one does not wait for that load, and the asker gets
// the value in another way.
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

// A Delete of a node that closes before the others have confirmed it does not succeed, since no
// node brings it to them any more.
func TestCloseDuringADelete(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, nil)
	a, b := nodes[0], nodes[1]
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	own := b.Handler()
	b.handler.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		own.ServeHTTP(w, r)
	}))
	defer close(release)
	deleted := make(chan error, 2)
	del := func() { deleted <- a.Delete(t.Context(), "k") }
	go del()
	<-arrived // the exchange is under way
	go del()
	require.Eventually(t, func() bool { return a.Stats().Deletes == 2 }, 20*time.Second,
		time.Millisecond)
	require.NoError(t, a.Close())
	for range 2 {
		require.ErrorIs(t, <-deleted, cluster.ErrClosed)
	}
}

// Delete does not wait for a node that is closing, since that node gives no values any more.
func TestDeleteDuringClose(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, nil)
	a, b := nodes[0], nodes[1]
	var keys []string
	for i := 0; len(keys) < 2; i++ { // two that b owns
		key, before := strconv.Itoa(i), b.Stats().Loads
		_, err := a.Fetch(t.Context(), key)
		require.NoError(t, err)
		if b.Stats().Loads > before {
			keys = append(keys, key)
		}
	}
	key, slow := keys[0], keys[1]
	require.NoError(t, a.Delete(t.Context(), slow))
	began, release := make(chan struct{}, 10), make(chan struct{})
	from.set(func(_ context.Context, key string, _ int) (string, error) {
		began <- struct{}{}
		<-release
		return key, nil
	})
	served := make(chan error, 1)
	go func() { // b waits for this when it closes
		_, err := a.Fetch(t.Context(), slow)
		served <- err
	}()
	<-began
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	require.Eventually(t, func() bool { return len(a.Stats().Peers) == 0 }, 20*time.Second,
		time.Millisecond)
	require.NoError(t, a.Delete(t.Context(), key))
	for name, fetch := range map[string]func() error{
		"Fetch":     func() error { _, err := b.Fetch(t.Context(), key); return err },
		"FetchMany": func() error { _, err := b.FetchMany(t.Context(), []string{key}); return err },
	} {
		require.ErrorIs(t, fetch(), cluster.ErrClosed, name)
	}
	_, ok := b.Get(key)
	require.False(t, ok)
	close(release)
	require.NoError(t, <-served)
	require.NoError(t, <-closed)
}
