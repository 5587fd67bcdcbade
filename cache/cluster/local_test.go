package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/courier"
)

// An owner that can't be reached costs a load on each node, and no caller its value.
func TestOwnerOutOfReach(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from origin
		nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots, o.CopyTTL = ownership, 16, time.Millisecond
		})
		_, err := nodes[0].Fetch(t.Context(), "k")
		require.NoError(t, err)
		own := owner(t, nodes)
		own.unplug()
		rest := others(nodes, own)
		require.Eventually(t, func() bool { // the copies have gone
			everywhere(rest, 20, func(n *node) {
				_, err := n.Fetch(t.Context(), "k")
				assert.NoError(t, err)
			})
			return from.count("k") == 3
		}, 20*time.Second, 5*time.Millisecond)
		everywhere(rest, 20, func(n *node) {
			_, err := n.Fetch(t.Context(), "k")
			assert.NoError(t, err)
			assert.EqualValues(t, 1, n.Stats().LocalLoads, "kept as an owner would keep it")
		})
	})
}

// An owner that takes connections and says nothing is waited for as long as PeerTimeout says, and not only until the
// connection, which is shared, is taken for dead.
func TestSilentOwner(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.CopyTTL, o.PeerTimeout = -1, 2*time.Second
	})
	keys := make([]string, 20)
	for i := range keys {
		keys[i] = fmt.Sprint("k", i)
		_, err := nodes[0].Fetch(t.Context(), keys[i])
		require.NoError(t, err)
	}
	own := owner(t, nodes)
	own.unplug()
	mute, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", own.addr)
	require.NoError(t, err)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := mute.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				_, _ = io.Copy(io.Discard, c) // until the other side hangs up
				_ = c.Close()
			})
		}
	})
	asker := others(nodes, own)[0]
	t.Cleanup(func() {
		asker.stop(t) // and hangs up
		_ = mute.Close()
		open.Wait()
	})

	var failures cluster.AskFailures
	for _, key := range keys { // the connection that has ended may not be known to have until it is used
		_, err = asker.Fetch(t.Context(), key)
		require.NoError(t, err)
		if failures = asker.Stats().AskFailures; failures.Silent > 0 {
			break
		}
	}
	require.EqualValues(t, 1, failures.Silent, "%+v", failures)
	require.LessOrEqual(t, failures.Unreachable, uint64(1), "%+v", failures)
}

func TestLocalLoadsAreBounded(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.MaxLocalLoads = 1 })
	nodes[1].unplug()
	gate := make(chan struct{})
	from.set(func(context.Context, string, int) (string, error) { <-gate; return "v", nil })
	results := make(chan error, 64)
	for i := range cap(results) {
		go func() {
			_, err := nodes[0].Fetch(t.Context(), fmt.Sprint("key", i))
			results <- err
		}()
	}
	refused := 0
	for refused == 0 { // a key of the other node's whose load found another one running
		if err := <-results; err != nil {
			require.ErrorIs(t, err, cluster.ErrOverloaded)
			require.ErrorContains(t, err, "MaxLocalLoads")
			refused++
		}
	}
	close(gate)
	for range cap(results) - 1 {
		if err := <-results; err != nil {
			require.ErrorIs(t, err, cluster.ErrOverloaded)
			refused++
		}
	}
	require.EqualValues(t, refused, nodes[0].Stats().LocalRejected, "each had a key of its own")
}

// A load in place of an owner that hangs, or panics, is counted like any other.
func TestLocalLoadsAreCounted(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.Cache.Courier = []courier.Option{courier.WithTimeout(50 * time.Millisecond)}
	})
	nodes[1].unplug()
	release := make(chan struct{})
	from.set(func(_ context.Context, key string, _ int) (string, error) {
		if key[0] == 'p' {
			panic("boom")
		}
		<-release // deaf to its context
		return "late", nil
	})
	for i := range 10 {
		for _, kind := range []string{"panic", "hang"} {
			_, err := nodes[0].Fetch(t.Context(), kind+strconv.Itoa(i))
			require.Error(t, err)
		}
	}
	s := nodes[0].Stats()
	require.NotZero(t, s.Local.Panics)
	require.NotZero(t, s.Local.Abandoned)
	require.EqualValues(t, 10, s.Owned.Panics+s.Local.Panics)
	require.Equal(t, 10, s.Owned.Courier.Abandoned+s.Local.Abandoned)
	close(release)
	require.Eventually(t, func() bool {
		s := nodes[0].Stats()
		return s.Owned.Courier.Abandoned+s.Local.Abandoned == 0
	}, 20*time.Second, time.Millisecond)
}
