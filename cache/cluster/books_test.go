package cluster_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/registry"
)

// A gate stops requests to some hosts, and notes how large messages about deletes are.
type gate struct {
	http.RoundTripper
	shut    atomic.Pointer[map[string]bool] // hosts
	message atomic.Int64                    // bytes of the latest one
}

func newGate(t *testing.T) *gate {
	t.Helper()
	transport := peer.DefaultTransport(nil)
	t.Cleanup(transport.CloseIdleConnections)
	return &gate{RoundTripper: transport}
}

// RoundTrip implements http.RoundTripper.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if hosts := g.shut.Load(); hosts != nil && (*hosts)[r.URL.Host] {
		return nil, &net.OpError{Op: "dial", Err: errWall}
	}
	if strings.HasSuffix(r.URL.Path, "/deletes") {
		g.message.Store(r.ContentLength)
	}
	return g.RoundTripper.RoundTrip(r)
}

// However many processes start, delete something and end, no node clears its cache, and messages
// without news stay as small as they were.
func TestProcessesThatComeAndGo(t *testing.T) {
	processes := 1100
	if testing.Short() {
		processes = 40
	}
	var from origin
	var gates []*gate
	nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		gates = append(gates, newGate(t))
		o.Transport, o.CopyTTL = gates[len(gates)-1], time.Hour
	})
	for _, n := range nodes {
		v, err := n.Fetch(t.Context(), "kept")
		require.NoError(t, err)
		require.Equal(t, "kept#1", v)
	}
	small := func() int64 { // the size of a message without news
		var size int64
		require.Eventually(t, func() bool {
			size = 0
			for _, g := range gates {
				size = max(size, g.message.Load())
			}
			return size > 0 && size < 20
		}, 60*time.Second, 20*time.Millisecond, "without news: 13 bytes, or some more for large numbers")
		return size
	}
	before := small()

	// One registry after the other would take minutes: the processes share one.
	r, err := registry.Open(t.Context(),
		registry.Config{NodeName: "x", Seeds: []string{nodes[0].registry.Addr()}})
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var current atomic.Pointer[cluster.Cache[string]]
	server := &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
			if c := current.Load(); c != nil {
				c.Handler().ServeHTTP(rw, q)
				return
			}
			rw.WriteHeader(http.StatusServiceUnavailable)
		}),
		ReadHeaderTimeout: time.Minute,
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	for i := range processes {
		c, err := cluster.New(cluster.Options[string]{
			Registry: r, URL: "http://" + listener.Addr().String() + path, Load: from.Load,
			PeerTimeout: 2 * time.Second, Transport: newGate(t), Ownership: cluster.ByKey,
		})
		require.NoError(t, err)
		current.Store(c)
		require.NoError(t, c.Delete(t.Context(), fmt.Sprint("other", i)))
		require.Zero(t, c.Stats().Resets)
		require.NoError(t, c.Close())
	}
	after := small()
	t.Logf("a message without news has %d bytes at first, and %d after %d processes", before, after,
		processes)
	for _, n := range nodes {
		s := n.Stats()
		require.Zero(t, s.Resets, "node %s", n.name)
		require.EqualValues(t, processes, s.DeletesApplied, "node %s", n.name)
		v, ok := n.Get("kept")
		require.True(t, ok, "node %s", n.name)
		require.Equal(t, "kept#1", v)
	}
	require.NoError(t, server.Close())
	<-served
	require.NoError(t, r.Close())
}

// A node that has missed more deletes than are remembered clears its cache, and no other one does.
func TestMissedMoreThanIsRemembered(t *testing.T) {
	var from origin
	var gates []*gate
	nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		gates = append(gates, newGate(t))
		o.Transport, o.CopyTTL, o.DeleteLog = gates[len(gates)-1], time.Hour, 50
	})
	for _, n := range nodes {
		_, err := n.Fetch(t.Context(), "kept")
		require.NoError(t, err)
	}
	gates[0].shut.Store(&map[string]bool{nodes[2].addr: true})
	gates[1].shut.Store(&map[string]bool{nodes[2].addr: true})
	gates[2].shut.Store(&map[string]bool{nodes[0].addr: true, nodes[1].addr: true})
	for i := range 200 {
		var unconfirmed *cluster.UnconfirmedError
		err := nodes[i%2].Delete(t.Context(), fmt.Sprint("other", i))
		require.ErrorAs(t, err, &unconfirmed)
		require.Equal(t, []string{nodes[2].name}, unconfirmed.Nodes)
	}
	for _, g := range gates {
		g.shut.Store(nil)
	}
	waitForPeers(t, nodes...)
	for i, n := range nodes {
		_, ok := n.Get("kept")
		require.Equal(t, i < 2, ok, "node %s", n.name)
		require.EqualValues(t, i/2, min(n.Stats().Resets, 1), "node %s", n.name)
	}
}

// A node that starts knows what was deleted before, and has nothing to clear.
func TestStartAmongManyDeletes(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.DeleteLog = 10 })
	for i := range 100 {
		require.NoError(t, nodes[i%2].Delete(t.Context(), fmt.Sprint("k", i)))
	}
	n := startNode(t, "late", []string{nodes[0].registry.Addr()},
		cluster.Options[string]{Load: from.Load, Ownership: cluster.ByKey})
	for _, p := range n.Stats().Peers {
		require.True(t, p.Synced, "%+v", p)
	}
	require.Len(t, n.Stats().Peers, 2)
	waitForPeers(t, append(nodes, n)...)
	require.Zero(t, n.Stats().Resets)
}

// A callback that deletes holds up no delete, no clear and no Close.
func TestOnEvictionDeletes(t *testing.T) {
	var from origin
	var nodes [2]atomic.Pointer[node]
	list := start(t, 2, &from, func(i int, o *cluster.Options[string]) {
		o.Cache.OnEviction = func(key, _ string, _ cache.Reason) {
			if n := nodes[i].Load(); n != nil && key[0] == 'k' {
				_ = n.Delete(context.Background(), "other "+key)
			}
		}
	})
	for i, n := range list {
		nodes[i].Store(n)
	}
	for i := range 50 {
		key := fmt.Sprint("k", i)
		for _, n := range list {
			_, err := n.Fetch(t.Context(), key)
			require.NoError(t, err)
		}
		if i%2 == 0 {
			require.NoError(t, list[i/2%2].Delete(t.Context(), key))
		}
	}
	require.NoError(t, list[0].Clear(t.Context()))
	require.Eventually(t, func() bool {
		return list[0].Stats().Deletes+list[1].Stats().Deletes == 25+1+2*50
	}, 20*time.Second, 5*time.Millisecond, "one for each entry that has left, own or a copy")
}

// A node that never answered is not synced, though there is nothing that it could lack.
func TestNeverSynced(t *testing.T) {
	var from batches
	n := startByRing(t, &from, nil)
	startFake(t, "x", n.registry.Addr(), func(string) (peer.Value,
		error) {
		return peer.Value{}, peer.ErrBusy
	})
	waitForFakes(t, n, 1)
	require.Never(t, func() bool { return n.Stats().Peers[0].Synced }, 300*time.Millisecond,
		10*time.Millisecond)
	var unconfirmed *cluster.UnconfirmedError
	require.ErrorAs(t, n.Delete(context.Background(), "k"), &unconfirmed)
	require.False(t, n.Stats().Peers[0].Synced)
}
