package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/courier"
)

// A trial waits until all members have confirmed that they know of it.
func TestTrialIsAnnounced(t *testing.T) {
	t.Parallel()
	var from origin
	nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership = cluster.ByRing
	})
	inside := make(chan struct{})
	outside := make(chan struct{})
	from.set(func(_ context.Context, key string, _ int) (string, error) {
		close(inside)
		<-outside
		return key, nil
	})
	client := peer.NewClient(peerConfig("y", 7), nil)
	defer client.Close()
	done := make(chan error, 1)
	n := nodes[1]
	go func() {
		to := peer.Address{Node: n.name, URL: "http://" + n.addr + path, Incarnation: n.Incarnation()}
		_, err := client.Try(t.Context(), to, "k", nil, recordOf("k", 1))
		done <- err
	}()
	<-inside
	for _, other := range others(nodes, n) {
		require.Equal(t, 1, other.Stats().Suspects, "%s knows of the trial", other.name)
	}
	close(outside)
	require.NoError(t, <-done)
	require.Eventually(t, func() bool {
		return nodes[0].Stats().Suspects+nodes[1].Stats().Suspects+nodes[2].Stats().Suspects == 0
	}, 20*time.Second, time.Millisecond, "all know that it is over")
}

// A load on trial that never returns blocks the key until its time-out has passed, and no longer.
func TestStuckTrial(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) {
		o.Cache.Timeout = 100 * time.Millisecond
	})
	var deadly atomic.Bool
	f := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		if deadly.Load() {
			panic(http.ErrAbortHandler)
		}
		return plain(key)
	})
	waitForFakes(t, n, 1)
	key := keyOf(t, n, f)
	deadly.Store(true)
	stuck := make(chan struct{})
	defer close(stuck)
	from.set(func(_ context.Context, key string, count int) (string, error) {
		if count == 1 {
			<-stuck // ignores its context
		}
		return key, nil
	})
	_, err := n.Fetch(t.Context(), key)
	require.ErrorIs(t, err, courier.ErrTimeout)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	v, err := n.Fetch(ctx, key)
	require.NoError(t, err)
	require.Equal(t, key, v)
	require.Zero(t, n.Stats().Suspects)
}

// Suspects that wait for their turn on another node leave room for other requests to it.
func TestSuspectsLeaveRoom(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) { o.PeerTimeout = 20 * time.Second })
	release := make(chan struct{})
	var suspicious atomic.Bool
	f := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		if suspicious.Load() && strings.HasPrefix(key, "suspect") {
			return peer.Value{}, &peer.SuspectError{Record: recordOf(key, 1)}
		}
		return plain(key)
	}, func(f *fake) {
		f.try = func(ctx context.Context, key string) (peer.Value, error) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return plain(key)
		}
	})
	waitForFakes(t, n, 1)
	key := keyOf(t, n, f)
	suspicious.Store(true)
	const count = 700 // x is to try about half of those that it owns
	var fetches sync.WaitGroup
	for i := range count {
		fetches.Go(func() {
			_, err := n.Fetch(t.Context(), fmt.Sprint("suspect", i))
			assert.NoError(t, err)
		})
	}
	asked, settled := uint64(0), 0
	require.Eventually(t, func() bool { // all that are to wait do
		before := asked
		if asked = n.Stats().Asked; asked == before {
			settled++
		} else {
			settled = 0
		}
		return asked > 16 && settled > 100
	}, 20*time.Second, time.Millisecond)
	require.Greater(t, n.Stats().Suspects, 128)
	refused := n.Stats().AskFailures.Busy
	v, err := n.Fetch(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, key+" of x", v, "its owner is asked")
	require.Equal(t, refused, n.Stats().AskFailures.Busy)
	close(release)
	fetches.Wait()
}

// A trial does not wait for a node that was found to be dead, though it is still a member.
func TestTrialDoesNotWaitForTheDead(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) { o.PeerTimeout = time.Minute })
	var deadly atomic.Bool
	f := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		if deadly.Load() {
			panic(http.ErrAbortHandler)
		}
		return plain(key)
	}, func(f *fake) {
		f.exchange = func(ctx context.Context) ([]byte, error) {
			<-ctx.Done() // as if its host were gone
			return nil, ctx.Err()
		}
	})
	waitForFakes(t, n, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var key string
	for i := 0; key == ""; i++ {
		asked := len(f.requests())
		_, err := n.Fetch(ctx, fmt.Sprint("probe", i))
		require.NoError(t, err)
		if len(f.requests()) > asked {
			deadly.Store(true)
			key = fmt.Sprint("other", i)
			for len(f.requests()) == asked+1 {
				_, err := n.Fetch(ctx, key)
				require.NoError(t, err)
				key += "'"
			}
		}
	}
	require.EqualValues(t, 1, n.Stats().Trials)
}

// A node that closes in the middle of a trial has not died of it: another one tries the key.
func TestCloseDuringTrial(t *testing.T) {
	t.Parallel()
	var from origin
	nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership = cluster.ByRing
	})
	inside := make(chan struct{})
	from.set(func(ctx context.Context, key string, count int) (string, error) {
		if count == 1 {
			close(inside)
			<-ctx.Done()
			return "", context.Cause(ctx)
		}
		return key, nil
	})
	tries := make(chan struct{})
	go func() {
		defer close(tries)
		convict(t, nodes[1], "k", 1)
	}()
	<-inside
	require.NoError(t, nodes[1].Close())
	<-tries
	left := others(nodes, nodes[1])
	for _, n := range left { // both, or one might still take the closed node for the trier
		require.Eventually(t, func() bool { return len(n.Stats().Peers) == 1 },
			20*time.Second, time.Millisecond)
	}
	for _, n := range left {
		v, err := n.Fetch(t.Context(), "k")
		require.NoError(t, err)
		require.Equal(t, "k", v)
		require.Zero(t, n.Stats().Quarantined)
	}
	require.Equal(t, 2, from.count("k"))
}

// A trier that is busy all the time is passed over. So are two nodes that take each other for the
// trier, and wait for each other's flights.
func TestBusyTrierIsPassedOver(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) {
		o.PeerTimeout = 200 * time.Millisecond
	})
	var suspicious atomic.Bool
	var busy atomic.Int64
	startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		if suspicious.Load() {
			return peer.Value{}, &peer.SuspectError{Record: recordOf(key, 1)}
		}
		return plain(key)
	}, func(f *fake) {
		f.try = func(context.Context, string) (peer.Value, error) {
			busy.Add(1)
			return peer.Value{}, peer.ErrBusy
		}
	})
	waitForFakes(t, n, 1)
	suspicious.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := 0; busy.Load() == 0; i++ { // until x is the trier of one
		_, err := n.Fetch(ctx, fmt.Sprint("suspect", i))
		require.NoError(t, err)
	}
	require.NotZero(t, n.Stats().Trials)
}
