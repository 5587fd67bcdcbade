package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/courier"
)

// Two nodes that each ask the other for a key, since its owner has changed twice, do not wait for
// each other: the asked node answers that it is busy.
func TestNoCircle(t *testing.T) {
	for i := range 4 {
		third, many := i&1 != 0, i&2 != 0
		t.Run(fmt.Sprintf("third=%v,many=%v", third, many), func(t *testing.T) {
			t.Parallel()
			var from origin
			change := func(_ int, o *cluster.Options[string]) {
				o.Ownership, o.PeerTimeout, o.Cache.Timeout = cluster.ByRing, time.Minute, cache.NoTimeout
				o.LoadMany = manyOf(&from)
			}
			n := start(t, 1, &from, change)[0]
			asked, open := make(chan string, 100), make(chan struct{})
			x := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
				asked <- key
				<-open
				return peer.Value{}, peer.ErrBusy
			})
			defer close(open)
			waitForFakes(t, n, 1)
			key := ""
			first := make(chan error, 1000)
			for i := 0; len(asked) == 0; i++ { // until x is asked for one
				key = fmt.Sprint("key", i)
				before := n.Stats()
				go func() {
					var err error
					if many {
						_, err = n.FetchMany(t.Context(), []string{key})
					} else {
						_, err = n.Fetch(t.Context(), key)
					}
					first <- err
				}()
				require.Eventually(t, func() bool {
					return n.Stats().Loads > before.Loads || len(asked) > 0
				}, 20*time.Second, time.Millisecond)
			}
			x.leave() // and the key is n's
			waitForFakes(t, n, 0)
			asker := func(ctx context.Context) error {
				client := peer.NewClient(peerConfig("x", 7),
					peer.DefaultTransport(nil))
				defer client.Close()
				_, err := client.Fetch(ctx, addressOf(t, n), key, nil)
				for _, o := range client.FetchMany(ctx, addressOf(t, n), []peer.Ask{{Key: key}}) {
					assert.ErrorAs(t, o.Err, new(*peer.UnavailableError))
				}
				return err
			}
			if third { // a real node asks, and loads for itself
				for name := 'b'; ; name++ {
					require.Less(t, name, 'm')
					other := startNode(t, string(name), []string{n.registry.Addr()}, optionsOf(&from, change))
					waitForPeers(t, other, n)
					_, err := other.Fetch(t.Context(), key)
					require.NoError(t, err)
					if s := other.Stats(); s.Asked > 0 { // otherwise it owns the key
						require.EqualValues(t, 1, s.AskFailures.Busy)
						require.EqualValues(t, 1, s.LocalLoads)
						return
					}
					other.stop(t)
					waitForFakes(t, n, 0)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := asker(ctx)
			var down *peer.UnavailableError
			require.ErrorAs(t, err, &down)
			require.Equal(t, peer.Busy, down.Reason)
		})
	}
}

func optionsOf(from *origin, change func(int, *cluster.Options[string])) cluster.Options[string] {
	o := cluster.Options[string]{Load: from.Load}
	change(0, &o)
	return o
}

// A key without a record, or whose load fails, costs no name.
func TestNoNamesForMissingRecords(t *testing.T) {
	var from origin
	from.set(func(_ context.Context, key string, _ int) (string, error) {
		switch key[0] {
		case 'f':
			return "", errOrigin
		case 'v':
			return "v", nil
		}
		return "", cache.ErrNotFound
	})
	nodes := start(t, 2, &from, nil)
	for i := range 5000 {
		_, err := nodes[i%2].Fetch(t.Context(), fmt.Sprint("none", i))
		require.ErrorIs(t, err, cache.ErrNotFound)
	}
	_, err := nodes[0].Fetch(t.Context(), "fails")
	require.Error(t, err)
	_, err = nodes[0].Fetch(t.Context(), "value")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return nodes[0].Stats().Claimed+nodes[1].Stats().Claimed == 1
	}, 20*time.Second, time.Millisecond)
	require.Equal(t, 1, nodes[0].Stats().Held+nodes[1].Stats().Held)
}

// A stale value of this node is given at the soft time-out, although the owner is silent.
func TestStaleValueWhileTheOwnerIsAsked(t *testing.T) {
	var from origin
	n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		stale(o)
		o.Ownership, o.CopyTTL, o.PeerTimeout = cluster.ByRing, time.Hour, time.Hour
		o.Cache.TTL, o.Cache.SoftTimeout = time.Millisecond, time.Millisecond
	})[0]
	open := make(chan struct{})
	var asked atomic.Int64
	startFake(t, "x", n.registry.Addr(), func(string) (peer.Value, error) {
		if asked.Add(1) > 1 {
			<-open
		}
		return peer.Value{Data: []byte("v"), Keep: cache.Forever}, nil
	})
	defer close(open)
	waitForFakes(t, n, 1)
	key := ""
	for i := 0; asked.Load() == 0; i++ {
		key = fmt.Sprint("key", i)
		_, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		v, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, "v", v)
		return n.Stats().Stale > 2
	}, 20*time.Second, time.Millisecond)
}

// The error of a load that has timed out on the owner arrives, though the asker has the same
// time-out.
func TestVerdictOfTheOwner(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.Cache.Timeout, o.PeerTimeout = 100*time.Millisecond, 10*time.Second
	})
	from.set(func(ctx context.Context, _ string, _ int) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	heard := 0
	for i := range 8 {
		for _, n := range nodes {
			_, err := n.Fetch(t.Context(), fmt.Sprint("key", i))
			var load *cluster.LoadError
			if errors.As(err, &load) {
				require.Equal(t, cluster.TimedOut, load.Kind)
				heard++
			} else {
				require.ErrorIs(t, err, courier.ErrTimeout)
			}
		}
	}
	require.Equal(t, 8, heard)
	for _, n := range nodes {
		require.Zero(t, n.Stats().LocalLoads)
	}
}

// Asking takes no turn: it works while as many loads run here as may, or hang.
func TestAskingTakesNoTurn(t *testing.T) {
	var from origin
	n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.LoadMany = cluster.ByRing, manyOf(&from)
		o.Cache.Courier = []courier.Option{courier.WithMaxConcurrent(1)}
	})[0]
	release := make(chan struct{})
	held := make(chan struct{}, 1)
	from.set(func(context.Context, string, int) (string, error) {
		select {
		case held <- struct{}{}:
		default: // those that follow it
		}
		<-release
		return "v", nil
	})
	done := make(chan error, 1)
	go func() {
		_, err := n.Fetch(context.Background(), "own")
		done <- err
	}()
	<-held
	startFake(t, "x", n.registry.Addr(), func(string) (peer.Value, error) {
		return peer.Value{Data: []byte("x"), Keep: cache.Forever}, nil
	})
	waitForFakes(t, n, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 100)
	for i := range cap(got) {
		go func() {
			// about a half is x's, and the others wait for their turn
			v, _ := n.Fetch(ctx, fmt.Sprint("key", i))
			got <- v
		}()
	}
	for range 10 {
		require.Equal(t, "x", <-got)
	}
	values, _ := n.FetchMany(ctx, theirsOf(t, n, 5))
	require.Len(t, values, 5)
	cancel()
	close(release)
	require.NoError(t, <-done)
}
