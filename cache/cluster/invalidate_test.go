package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

func TestDeleteReachesAllNodes(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from origin
		nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) { o.Ownership, o.Slots, o.CopyTTL = ownership, 16, time.Hour })
		for round := 1; round <= 10; round++ {
			for _, n := range nodes {
				v, err := n.Fetch(t.Context(), "k")
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("k#%d", round), v)
			}
			require.NoError(t, nodes[round%3].Delete(t.Context(), "k"))
			for _, n := range nodes {
				_, ok := n.Get("k")
				require.False(t, ok, "round %d, node %s", round, n.name)
			}
		}
	})
}

func TestClearReachesAllNodes(t *testing.T) {
	var from origin
	nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) { o.CopyTTL = time.Hour })
	fetchAll := func(want string) {
		for i := range 20 {
			everywhere(nodes, 1, func(n *node) {
				v, err := n.Fetch(t.Context(), fmt.Sprint("k", i))
				assert.NoError(t, err)
				assert.Equal(t, fmt.Sprintf("k%d#%s", i, want), v)
			})
		}
	}
	fetchAll("1")
	require.NoError(t, nodes[2].Clear(t.Context()))
	for _, n := range nodes {
		require.Zero(t, n.Stats().OwnedEntries)
		require.Zero(t, n.Stats().CopyEntries)
	}
	fetchAll("2")
}

// A load that was under way when its key was deleted gives its value to those who waited, and is not kept.
func TestDeleteDuringALoad(t *testing.T) {
	var from origin
	nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) { o.CopyTTL = time.Hour })
	began, gate := make(chan struct{}, 9), make(chan struct{})
	from.set(func(_ context.Context, key string, n int) (string, error) {
		if n == 1 {
			began <- struct{}{}
			<-gate
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	early := make(chan string, len(nodes))
	for _, n := range nodes {
		go func() {
			v, err := n.Fetch(t.Context(), "k")
			assert.NoError(t, err)
			early <- v
		}()
	}
	<-began
	require.NoError(t, nodes[0].Delete(t.Context(), "k"))
	for _, n := range nodes {
		v, err := n.Fetch(t.Context(), "k")
		require.NoError(t, err)
		require.Equal(t, "k#2", v, "node %s: it began after the delete", n.name)
	}
	close(gate)
	for range nodes {
		require.Contains(t, []string{"k#1", "k#2"}, <-early)
	}
	for _, n := range nodes {
		v, err := n.Fetch(t.Context(), "k")
		require.NoError(t, err)
		require.Equal(t, "k#2", v)
	}
}

// A wall lets nothing of some kind through to other nodes.
type wall struct {
	http.RoundTripper
	up      atomic.Bool
	deletes bool // only exchanges of deletes are stopped
}

var errWall = errors.New("there is a wall")

// RoundTrip implements http.RoundTripper.
func (w *wall) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.up.Load() && (!w.deletes || len(r.URL.Path) > 7 && r.URL.Path[len(r.URL.Path)-7:] == "deletes") {
		return nil, &net.OpError{Op: "dial", Err: errWall}
	}
	return w.RoundTripper.RoundTrip(r)
}

// A node that was cut off when a key was deleted is told later; and it does not give the old value to a node that knows of the
// delete.
func TestDeleteThatANodeMissed(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("clear=%v", all), func(t *testing.T) {
			t.Parallel()
			var from origin
			walls := make([]*wall, 2)
			nodes := start(t, 2, &from, func(i int, o *cluster.Options[string]) {
				transport := peer.DefaultTransport(nil, 0)
				t.Cleanup(transport.CloseIdleConnections)
				walls[i] = &wall{RoundTripper: transport, deletes: true}
				o.Transport, o.CopyTTL = walls[i], time.Hour
			})
			_, err := nodes[0].Fetch(t.Context(), "k")
			require.NoError(t, err)
			own := owner(t, nodes)
			other := others(nodes, own)[0]
			_, err = other.Fetch(t.Context(), "k")
			require.NoError(t, err)
			for _, w := range walls {
				w.up.Store(true)
			}

			do := func() error { return other.Delete(t.Context(), "k") }
			if all {
				do = func() error { return other.Clear(t.Context()) }
			}
			var unconfirmed *cluster.UnconfirmedError
			err = do()
			require.ErrorAs(t, err, &unconfirmed)
			require.Equal(t, []string{own.name}, unconfirmed.Nodes)
			require.ErrorIs(t, err, errWall)
			_, ok := own.Get("k")
			require.True(t, ok, "it has missed the delete")

			v, err := other.Fetch(t.Context(), "k")
			require.NoError(t, err)
			require.Equal(t, "k#2", v, "the old one would come back from its owner")
			v, ok = own.Get("k")
			require.True(t, ok)
			require.Equal(t, "k#2", v, "the owner has learnt of it with the request")

			err = do()
			require.ErrorAs(t, err, &unconfirmed)
			for _, w := range walls {
				w.up.Store(false)
			}
			require.Eventually(t, func() bool {
				_, ok := own.Get("k")
				return !ok
			}, 20*time.Second, 5*time.Millisecond, "it is told when it can be reached")
			require.NoError(t, do())
		})
	}
}

// Delete does not wait for ever for a node that does not answer.
func TestDeleteIsBounded(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var unconfirmed *cluster.UnconfirmedError
	if err := nodes[0].Delete(ctx, "k"); err != nil { // it may have been confirmed already
		require.ErrorAs(t, err, &unconfirmed)
		require.ErrorIs(t, err, context.Canceled)
	}
	nodes[1].unplug()
	require.ErrorAs(t, nodes[0].Delete(t.Context(), "k"), &unconfirmed)
	require.Equal(t, []string{"b"}, unconfirmed.Nodes)
}
