package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// A value that is too large to be sent is loaded by each node for itself. A Delete that all confirm
// ends such a load, too.
func TestDeleteOfAValueAboveMaxValue(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from origin
		large := strings.Repeat("x", 200)
		var held atomic.Int64 // the load of k that waits
		began, open := make(chan struct{}, 1), make(chan struct{})
		from.set(func(_ context.Context, key string, n int) (string, error) {
			if int64(n) == held.Load() {
				began <- struct{}{}
				<-open
			}
			return fmt.Sprintf("%s#%d %s", key, n, large), nil
		})
		nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots, o.MaxValue = ownership, 16, 100
			o.PeerTimeout = 10 * time.Second
		})
		for _, n := range nodes {
			_, err := n.Fetch(t.Context(), "k")
			require.NoError(t, err)
		}
		n := nodes[0]
		if n.Stats().LocalLoads == 0 {
			n = nodes[1]
		}
		require.EqualValues(t, 1, n.Stats().LocalLoads)
		require.NoError(t, n.Delete(t.Context(), "k"))
		held.Store(int64(from.count("k")) + 2) // the owner's load is the first
		early := make(chan string, 1)
		go func() {
			v, err := n.Fetch(context.Background(), "k")
			assert.NoError(t, err)
			early <- v
		}()
		select {
		case <-began:
		case v := <-early:
			require.Failf(t, "what was deleted is given", "%.20s", v)
		}
		require.NoError(t, n.Delete(t.Context(), "k"), "all have confirmed")
		old := from.count("k")
		ended := make(chan string, 1)
		go func() {
			v, err := n.Fetch(context.Background(), "k")
			assert.NoError(t, err)
			ended <- v
		}()
		assert.Eventually(t, func() bool {
			return from.count("k") > old
		}, 20*time.Second, time.Millisecond, "it has joined the load that began before the delete")
		close(open)
		<-early
		late := <-ended
		for i := range old {
			require.NotContains(t, late, fmt.Sprintf("k#%d ", i+1), "it began after Delete returned")
		}
		kept, ok := n.Get("k")
		require.True(t, ok)
		require.Equal(t, late, kept)
	})
}

// seenBy returns those of nodes that n sees.
func seenBy(n *node, nodes []*node) (list []*node) {
	peers := n.Stats().Peers
	for _, other := range nodes {
		if slices.ContainsFunc(peers, func(p cluster.PeerStats) bool { return p.Node == other.name }) {
			list = append(list, other)
		}
	}
	return list
}

// Owners seem silent now and then, and loads are under way at any time. Still no node gives a value
// from before its own change, and no node gives one from before a change that all have confirmed.
func TestNothingOfBeforeWithSilentOwners(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var v versions
		nodes := start(t, 3, new(origin), func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots, o.LoadMany = ownership, 16, v.LoadMany
			o.Load = func(ctx context.Context, key string) (string, error) {
				s, err := v.Load(ctx, key)
				time.Sleep(rand.N(time.Millisecond)) // so that changes find loads under way
				return s, err
			}
			o.PeerTimeout, o.CopyTTL, o.MaxLocalLoads = 5*time.Millisecond, time.Hour, 2
			o.Cache.Tags = tagOf
		})
		stop := make(chan struct{})
		var busy sync.WaitGroup
		for _, n := range nodes {
			for i := range 4 {
				busy.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if i == 0 {
							_, _ = n.FetchMany(t.Context(), []string{"k", "l", "m"})
						} else {
							_, _ = n.Fetch(t.Context(), "k")
						}
					}
				})
			}
		}
		rounds := 100
		if testing.Short() {
			rounds = 20
		}
		for i := range rounds {
			n := nodes[i%len(nodes)]
			want := v.now.Add(1)
			change := []string{"delete", "tag", "clear"}[i/len(nodes)%3]
			before := seenBy(n, nodes)
			err := changes[change](n, "k")
			sees := []*node{n}
			if err == nil { // a node that is no member for a while, on a busy machine, gets it later
				after := seenBy(n, nodes)
				sees = append(sees, slices.DeleteFunc(before, func(other *node) bool {
					return !slices.Contains(after, other)
				})...)
			} else {
				require.ErrorAs(t, err, new(*cluster.UnconfirmedError))
			}
			for _, n := range sees {
				got, err := n.Fetch(t.Context(), "k")
				require.NoError(t, err)
				require.Equal(t, strconv.FormatInt(want, 10), got, change)
			}
		}
		close(stop)
		busy.Wait()
	})
}

func ignoreUnconfirmed(err error) error {
	if errors.As(err, new(*cluster.UnconfirmedError)) {
		return nil
	}
	return err
}

// A wall stops requests of some kind to other nodes.
type wall struct {
	http.RoundTripper
	up      atomic.Bool
	deletes bool // only exchanges of deletes are stopped
}

// RoundTrip implements http.RoundTripper.
func (w *wall) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.up.Load() && (!w.deletes || len(r.URL.Path) > 7 &&
		r.URL.Path[len(r.URL.Path)-7:] == "deletes") {
		return nil, &net.OpError{Op: "dial", Err: errWall}
	}
	return w.RoundTripper.RoundTrip(r)
}

// A node that was cut off when a key was deleted gets the delete later. Until then it does not give
// the old value to a node that knows of the delete.
func TestDeleteThatANodeMissed(t *testing.T) {
	for name, change := range map[string]func(ctx context.Context, n *node) error{
		"delete": func(ctx context.Context, n *node) error { return n.Delete(ctx, "k") },
		"clear":  func(ctx context.Context, n *node) error { return n.Clear(ctx) },
		"tag":    func(ctx context.Context, n *node) error { return n.InvalidateTag(ctx, "tag of k") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from origin
			walls := make([]*wall, 2)
			nodes := start(t, 2, &from, func(i int, o *cluster.Options[string]) {
				transport := peer.DefaultTransport(nil)
				t.Cleanup(transport.CloseIdleConnections)
				walls[i] = &wall{RoundTripper: transport, deletes: true}
				o.Transport, o.CopyTTL, o.Cache.Tags = walls[i], time.Hour, tagOf
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

			do := func() error { return change(t.Context(), other) }
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
			_, ok = own.Get("k")
			require.False(t, ok, "the owner has learnt of it with the request")
			v, err = own.Fetch(t.Context(), "k")
			require.NoError(t, err)
			require.Equal(t, "k#3", v)

			err = do()
			require.ErrorAs(t, err, &unconfirmed)
			for _, w := range walls {
				w.up.Store(false)
			}
			require.Eventually(t, func() bool {
				_, ok := own.Get("k")
				return !ok
			}, 20*time.Second, 5*time.Millisecond, "it gets the delete when it can be reached")
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

// Long loads on a node don't keep deletes from it, however many they are.
func TestDeletesReachABusyNode(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.MaxPeerRequests = 1 })
	key := ""
	for i := 0; nodes[1].Stats().Loads == 0; i++ { // one that the other node owns
		key = strconv.Itoa(i)
		_, err := nodes[0].Fetch(t.Context(), key)
		require.NoError(t, err)
	}
	require.NoError(t, nodes[0].Delete(t.Context(), key))
	began, release := make(chan struct{}), make(chan struct{})
	from.set(func(_ context.Context, key string, _ int) (string, error) {
		close(began)
		<-release
		return key, nil
	})
	fetched := make(chan error, 1)
	go func() {
		_, err := nodes[0].Fetch(t.Context(), key)
		fetched <- err
	}()
	<-began
	err := nodes[0].Delete(t.Context(), "x")
	close(release)
	require.NoError(t, err)
	require.NoError(t, <-fetched)
}
