package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/internal/leak"
	"github.com/snowfence/snowfence/registry"
)

func TestMain(m *testing.M) { leak.Main(m) }

const path = "/_cache"

// An origin is the origin of a cache. It counts its loads.
type origin struct {
	mu    sync.Mutex
	loads map[string]int
	total atomic.Int64
	load  func(ctx context.Context, key string, n int) (string, error) // nil: key#n
}

func (o *origin) Load(ctx context.Context, key string) (string, error) {
	o.mu.Lock()
	if o.loads == nil {
		o.loads = make(map[string]int)
	}
	o.loads[key]++
	n := o.loads[key]
	load := o.load
	o.mu.Unlock()
	o.total.Add(1)
	if load != nil {
		return load(ctx, key, n)
	}
	return fmt.Sprintf("%s#%d", key, n), nil
}

func (o *origin) count(key string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.loads[key]
}

func (o *origin) set(load func(ctx context.Context, key string, n int) (string, error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.load = load
}

// A node is one node of a cluster in this process.
type node struct {
	*cluster.Cache[string]
	name     string
	registry *registry.Registry
	server   *http.Server
	handler  swapped
	addr     string // where the server listens
	address  peer.Address
	served   chan struct{}
	stopped  sync.Once
}

// swapped is a handler that can be replaced.
type swapped struct{ http atomic.Pointer[http.Handler] }

func (s *swapped) Store(h http.Handler) { s.http.Store(&h) }

func (s *swapped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.http.Load()).ServeHTTP(w, r)
}

// startNode opens a registry and a cache, and serves its handler on the loopback interface.
func startNode(tb testing.TB, name string, seeds []string, o cluster.Options[string]) *node {
	tb.Helper()
	n := &node{name: name, served: make(chan struct{})}
	// The registry keeps its default intervals: with shorter ones a busy machine loses nodes that are
	// well.
	r, err := registry.Open(tb.Context(), registry.Config{NodeName: name, Seeds: seeds})
	require.NoError(tb, err)
	n.registry = r
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	n.addr = listener.Addr().String()
	n.server = &http.Server{ReadHeaderTimeout: time.Minute}
	scheme, serve := "http://", n.server.Serve
	if len(o.SharedKeys) > 0 {
		n.server.TLSConfig, err = cluster.SharedKeyTLS(o.SharedKeys...)
		require.NoError(tb, err)
		scheme, serve = "https://", func(l net.Listener) error { return n.server.ServeTLS(l, "", "") }
	}
	o.Registry, o.URL = r, scheme+n.addr+path
	n.Cache, err = cluster.New(o)
	require.NoError(tb, err)
	mux := http.NewServeMux()
	n.handler.Store(n.Handler())
	mux.Handle(path+"/", &n.handler)
	n.server.Handler = mux
	go func() {
		defer close(n.served)
		_ = serve(listener)
	}()
	tb.Cleanup(func() { n.stop(tb) })
	return n
}

// stop ends the node in good order. It may be called more than once.
func (n *node) stop(tb testing.TB) {
	tb.Helper()
	n.stopped.Do(func() {
		require.NoError(tb, n.Close())
		n.unplug()
		require.NoError(tb, n.registry.Close())
	})
}

// unplug ends the node's server, so that other nodes can't reach it.
func (n *node) unplug() {
	_ = n.server.Close()
	<-n.served
}

// start starts some nodes that see each other.
func start(
	tb testing.TB, count int, load *origin, change func(i int, o *cluster.Options[string]),
) []*node {
	tb.Helper()
	nodes := make([]*node, count)
	var seeds []string
	slots := 0
	for i := range nodes {
		// By key there is nothing to wait for until the nodes own their share.
		o := cluster.Options[string]{Load: load.Load, PeerTimeout: 2 * time.Second,
			Ownership: cluster.ByKey}
		if change != nil {
			change(i, &o)
		}
		if o.Ownership == cluster.BySlot {
			slots = o.Slots
		}
		nodes[i] = startNode(tb, string(rune('a'+i)), seeds, o)
		seeds = []string{nodes[0].registry.Addr()}
	}
	waitForPeers(tb, nodes...)
	if slots > 0 {
		waitForSlots(tb, slots, nodes...)
	}
	return nodes
}

// startLimit bounds how long nodes may take to start. With a PeerTimeout of a few milliseconds an
// exchange of deletes takes many tries on a busy machine.
const startLimit = time.Minute

// waitForPeers waits until each node has exchanged deletes with each other one.
func waitForPeers(tb testing.TB, nodes ...*node) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		for _, n := range nodes {
			synced := 0
			for _, p := range n.Stats().Peers {
				if p.Synced {
					synced++
				}
			}
			if synced != len(nodes)-1 {
				return false
			}
		}
		return true
	}, startLimit, 5*time.Millisecond, "the nodes do not see each other")
}

// waitForSlots waits until all nodes hold as many slots, one more or less.
func waitForSlots(tb testing.TB, slots int, nodes ...*node) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		held := 0
		for _, n := range nodes {
			held += n.Stats().Held
			if n.Stats().Held < slots/len(nodes) {
				return false
			}
		}
		return held == slots
	}, startLimit, 5*time.Millisecond, "the slots are not spread")
}

// everywhere calls f for each node, some times each, all at once.
func everywhere(nodes []*node, each int, f func(n *node)) {
	var wg sync.WaitGroup
	for _, n := range nodes {
		for range each {
			wg.Go(func() { f(n) })
		}
	}
	wg.Wait()
}

// owner returns the node that has called Load for the keys so far.
func owner(tb testing.TB, nodes []*node) *node {
	tb.Helper()
	for _, n := range nodes {
		if n.Stats().Loads > 0 {
			return n
		}
	}
	tb.Fatal("no node has loaded anything")
	return nil
}

// others returns the nodes but one.
func others(nodes []*node, but *node) (list []*node) {
	for _, n := range nodes {
		if n != but {
			list = append(list, n)
		}
	}
	return list
}

// peerConfig returns the Config of a member, or a stranger, that is no Cache.
func peerConfig(node string, incarnation uint64) peer.Config {
	return peer.Config{
		Node: node, Incarnation: incarnation, Cache: cluster.DefaultName,
		MaxKey: cluster.DefaultMaxKey, MaxValue: cluster.DefaultMaxValue, MaxMessage: 1 << 20,
		MaxRequests: cluster.DefaultMaxPeerRequests, PeerTimeout: 20 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
}
