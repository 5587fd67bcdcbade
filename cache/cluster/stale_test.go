package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

var errOrigin = errors.New("the origin is down")

func fails(context.Context, string, int) (string, error) { return "", errOrigin }

// stale sets Options of a cache whose values become stale soon, and stay so for long.
func stale(o *cluster.Options[string]) {
	// CopyTTL is longer than a busy machine takes to send a value to another node, which keeps no copy
	// otherwise.
	o.Cache.TTL, o.Cache.StaleFor, o.Cache.StaleRetry = 500*time.Millisecond, time.Hour,
		time.Millisecond
	o.Cache.Tags, o.PeerTimeout = tagOf, 10*time.Second
}

// startStale starts nodes, each with the first value of k, which is stale.
func startStale(
	t *testing.T, count int, from *origin, change func(o *cluster.Options[string]),
) (own *node, rest []*node) {
	t.Helper()
	keepsCopies := true
	nodes := start(t, count, from, func(_ int, o *cluster.Options[string]) {
		stale(o)
		if change != nil {
			change(o)
		}
		keepsCopies = o.CopyTTL == 0 || o.CopyTTL > time.Second
	})
	// A busy machine may load it several times until each node keeps it.
	from.set(func(context.Context, string, int) (string, error) { return "k#1", nil })
	for _, n := range nodes {
		require.Eventually(t, func() bool {
			_, err := n.Fetch(t.Context(), "k")
			require.NoError(t, err)
			_, ok := n.Get("k")
			return ok || !keepsCopies
		}, 20*time.Second, time.Millisecond)
	}
	own = owner(t, nodes)
	untilStale(t, nodes)
	from.set(nil)
	return own, others(nodes, own)
}

// untilStale waits until no node has a fresh value of k.
func untilStale(t *testing.T, nodes []*node) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, n := range nodes {
			if _, ok := n.Get("k"); ok {
				return false
			}
		}
		return true
	}, 20*time.Second, time.Millisecond)
}

func requireValue(t *testing.T, n *node, want string) {
	t.Helper()
	v, err := n.Fetch(t.Context(), "k")
	require.NoError(t, err, "node %s", n.name)
	require.Equal(t, want, v, "node %s", n.name)
}

// An owner whose load fails gives its stale value, to its own callers and to those of other nodes.
// There it does not count as a fresh one.
func TestStaleValueOfTheOwner(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from origin
		for _, copyTTL := range []time.Duration{-1, time.Millisecond, time.Hour} {
			from.set(nil)
			own, rest := startStale(t, 2, &from, func(o *cluster.Options[string]) {
				o.Ownership, o.Slots, o.CopyTTL = ownership, 16, copyTTL
			})
			n := rest[0]
			first, err := own.Fetch(t.Context(), "k") // another load
			require.NoError(t, err)
			untilStale(t, []*node{own, n})
			from.set(fails)
			for range 3 {
				requireValue(t, own, first)
				requireValue(t, n, first)
				_, ok := n.Get("k")
				require.False(t, ok, "it is not kept as a fresh copy")
			}
			require.NotZero(t, own.Stats().Stale)
			require.NotZero(t, n.Stats().Stale)
			require.Zero(t, n.Stats().LocalLoads)
			from.set(nil)
			require.Eventually(t, func() bool {
				v, err := n.Fetch(t.Context(), "k")
				return err == nil && v != first
			}, 20*time.Second, time.Millisecond)
		}
	})
}

// A node that can't reach the owner, and whose own load fails, gives its stale copy: also when the
// owner has given it its stale value before.
func TestStaleCopy(t *testing.T) {
	for _, asked := range []bool{false, true} {
		t.Run(fmt.Sprintf("asked=%v", asked), func(t *testing.T) {
			t.Parallel()
			var from origin
			own, rest := startStale(t, 2, &from, nil)
			n := rest[0]
			from.set(fails)
			if asked {
				requireValue(t, n, "k#1")
			}
			own.unplug()
			require.Eventually(t, func() bool { // a load of its own, once the time for another try has come
				requireValue(t, n, "k#1")
				return n.Stats().LocalLoads > 0
			}, 20*time.Second, time.Millisecond)
			_, ok := n.Get("k")
			require.False(t, ok)
		})
	}
}

// The key's new owner has a stale copy, and the former one a stale entry.
func TestStaleValueWhenTheOwnerChanges(t *testing.T) {
	t.Run("new owner", func(t *testing.T) {
		t.Parallel()
		var from origin
		own, rest := startStale(t, 2, &from, nil)
		n := rest[0]
		from.set(fails)
		own.stop(t)
		require.Eventually(t, func() bool { // n is the home of all keys
			requireValue(t, n, "k#1")
			return n.Stats().LoadErrors > 0
		}, 20*time.Second, time.Millisecond)
		from.set(func(context.Context, string, int) (string, error) { return "", cache.ErrNotFound })
		require.Eventually(t, func() bool { // the time for another try may not have come
			_, err := n.Fetch(t.Context(), "k")
			return errors.Is(err, cache.ErrNotFound)
		}, 20*time.Second, time.Millisecond)
		from.set(fails)
		_, err := n.Fetch(t.Context(), "k")
		require.ErrorIs(t, err, errOrigin, "that there is no record ends the older value")
	})
	t.Run("old owner", func(t *testing.T) {
		t.Parallel()
		var from origin
		one, _ := startStale(t, 1, &from,
			func(o *cluster.Options[string]) { o.Ownership = cluster.ByRing })
		from.set(fails)
		var o cluster.Options[string]
		stale(&o)
		o.Load, o.Ownership = from.Load, cluster.ByRing
		nodes := []*node{one}
		for i := 0; one.Stats().Asked == 0; i++ { // until another one owns k
			require.Less(t, i, 20)
			nodes = append(nodes, startNode(t, string(rune('b'+i)), []string{one.registry.Addr()}, o))
			waitForPeers(t, nodes...)
			requireValue(t, one, "k#1")
		}
		require.NoError(t, one.Delete(t.Context(), "k"))
		_, err := one.Fetch(t.Context(), "k")
		require.ErrorContains(t, err, errOrigin.Error(), "what is deleted is not there either")
	})
}

// An entry whose name is lost is kept no longer than a copy. If it is stale, it stays.
func TestStaleValueWhoseNameIsLost(t *testing.T) {
	var from origin
	n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		stale(o)
		o.Cache.TTL, o.CopyTTL = time.Hour, 100*time.Millisecond
	})[0]
	for _, key := range []string{"k", "l"} {
		_, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
	}
	n.Lose("k", "none")
	untilStale(t, []*node{n})
	_, ok := n.Get("l")
	require.True(t, ok)
	require.Equal(t, 2, n.Stats().Entries)
	n.Lose("k")
	from.set(fails)
	requireValue(t, n, "k#1")
	require.Equal(t, 2, n.Stats().Entries)
}

// Everything that ends an entry ends its stale value, on all nodes.
func TestEndOfStaleValues(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, from *origin, n *node){
		"delete": func(t *testing.T, _ *origin, n *node) {
			t.Helper()
			require.NoError(t, n.Delete(t.Context(), "k"))
		},
		"clear": func(t *testing.T, _ *origin, n *node) {
			t.Helper()
			require.NoError(t, n.Clear(t.Context()))
		},
		"tag": func(t *testing.T, _ *origin, n *node) {
			t.Helper()
			require.NoError(t, n.InvalidateTag(t.Context(), "tag of k"))
		},
		"no record": func(t *testing.T, from *origin, n *node) {
			t.Helper()
			from.set(func(context.Context, string, int) (string, error) { return "", cache.ErrNotFound })
			require.Eventually(t, func() bool { // the time for another try may not have come
				_, err := n.Fetch(t.Context(), "k")
				return errors.Is(err, cache.ErrNotFound)
			}, 20*time.Second, time.Millisecond)
			from.set(fails)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from origin
			own, rest := startStale(t, 2, &from, nil)
			from.set(fails)
			requireValue(t, own, "k#1")
			requireValue(t, rest[0], "k#1")
			end(t, &from, rest[0])
			for _, n := range []*node{rest[0], own} {
				_, err := n.Fetch(t.Context(), "k")
				require.ErrorContains(t, err, errOrigin.Error(), "node %s", n.name)
			}
		})
	}
}

// With SoftTimeout no caller waits for a load that hangs, on whatever node.
func TestSoftTimeout(t *testing.T) {
	var from origin
	own, rest := startStale(t, 3, &from, func(o *cluster.Options[string]) {
		o.Cache.SoftTimeout = 10 * time.Millisecond
	})
	release := make(chan struct{})
	defer close(release)
	from.set(func(context.Context, string, int) (string, error) { <-release; return "late", nil })
	for range 3 {
		for _, n := range append(rest, own) {
			requireValue(t, n, "k#1")
		}
	}
	require.LessOrEqual(t, from.count("k"), 1+3, "one that hangs, and fresh ones now and then")
}

// A node becomes the owner of a key while a flight of it waits that has asked the former owner. It
// serves the value of that flight to other nodes. A stale value is one, and no error of a load.
func TestServedStaleValueOfTheOwnerOfBefore(t *testing.T) {
	for _, many := range []bool{false, true} { // how the node is asked
		for _, invalidated := range []bool{false, true} { // a tag, meanwhile
			t.Run(fmt.Sprintf("many=%v,invalidated=%v", many, invalidated), func(t *testing.T) {
				t.Parallel()
				testServedStale(t, many, invalidated)
			})
		}
	}
}

func testServedStale(t *testing.T, many, invalidated bool) {
	t.Helper()
	began, gate := make(chan struct{}), make(chan struct{})
	n := start(t, 1, new(origin), func(_ int, o *cluster.Options[string]) {
		o.Ownership = cluster.ByRing
		o.Cache.Tags = func(string, string) []string { return []string{"tag"} }
		o.LoadMany = func(_ context.Context, keys []string) (map[string]string, error) {
			close(began)
			<-gate
			return firsts(keys), nil
		}
	})[0]
	var has sync.Map // the keys of which x has a stale value
	x := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		if _, ok := has.Load(key); ok {
			return peer.Value{Data: []byte("old"), Keep: -time.Minute}, nil
		}
		return peer.Value{}, peer.ErrBusy
	})
	waitForFakes(t, n, 1)
	var theirs []string
	for i := 0; len(theirs) < 2; i++ {
		key, asked := fmt.Sprint("key", i), n.Stats().Asked
		_, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
		if n.Stats().Asked > asked {
			theirs = append(theirs, key)
		}
	}
	_ = n.Clear(t.Context()) // which x does not confirm
	has.Store(theirs[0], nil)
	done := make(chan map[string]string, 1)
	go func() {
		got, err := n.FetchMany(t.Context(), theirs)
		assert.NoError(t, err)
		done <- got
	}()
	<-began // of the key that x is too busy for
	joined := n.Stats().Store.Courier.Joined
	x.leave()
	waitForFakes(t, n, 0)
	client := peer.NewClient(peerConfig("y", 7), peer.DefaultTransport(nil))
	defer client.Close()
	answer, to := make(chan peer.Outcome, 1), addressOf(t, n)
	go func() {
		if many {
			answer <- client.FetchMany(t.Context(), to, []peer.Ask{{Key: theirs[0]}})[0]
			return
		}
		var o peer.Outcome
		o.Value, o.Err = client.Fetch(t.Context(), to, theirs[0], nil)
		answer <- o
	}()
	require.Eventually(t, func() bool { return n.Stats().Store.Courier.Joined == joined+1 },
		20*time.Second, time.Millisecond)
	if invalidated {
		require.NoError(t, n.InvalidateTag(t.Context(), "tag"))
	}
	close(gate)
	o, here := <-answer, <-done
	require.Equal(t, theirs[1]+"#1", here[theirs[1]])
	if invalidated {
		require.NotEqual(t, "old", here[theirs[0]])
		var down *peer.UnavailableError
		require.ErrorAs(t, o.Err, &down)
		require.Equal(t, peer.Busy, down.Reason)
		return
	}
	require.NoError(t, o.Err)
	require.Equal(t, "old", string(o.Value.Data))
	require.Negative(t, o.Value.Keep, "it is stale")
	require.Equal(t, "old", here[theirs[0]])
}
