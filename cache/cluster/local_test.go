package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
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

// A silentListener accepts connections and sends nothing.
type silentListener struct {
	listener net.Listener
	open     sync.WaitGroup
}

func listenSilently(tb testing.TB, addr string) *silentListener {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", addr)
	require.NoError(tb, err)
	s := &silentListener{listener: l}
	s.open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.open.Go(func() {
				_, _ = io.Copy(io.Discard, c) // until the other side hangs up
				_ = c.Close()
			})
		}
	})
	return s
}

// close waits until the other sides have closed their connections.
func (s *silentListener) close() {
	_ = s.listener.Close()
	s.open.Wait()
}

// An owner that accepts connections and sends nothing is waited for as long as PeerTimeout says,
// and not only until the shared connection counts as dead.
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
	mute := listenSilently(t, own.addr)
	asker := others(nodes, own)[0]
	t.Cleanup(func() {
		asker.stop(t) // and closes its connections
		mute.close()
	})

	var failures cluster.AskFailures
	// a connection that has ended may look alive until it is used
	for _, key := range keys {
		_, err := asker.Fetch(t.Context(), key)
		require.NoError(t, err)
		if failures = asker.Stats().AskFailures; failures.Silent > 0 {
			break
		}
	}
	require.EqualValues(t, 1, failures.Silent, "%+v", failures)
	require.LessOrEqual(t, failures.Unreachable, uint64(1), "%+v", failures)
}

// waitingForTurn returns how many flights of this process wait for their turn among MaxLocalLoads.
func waitingForTurn() (n int) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, g := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(g, ".awaitLocalLoad(") && strings.Contains(g, " [select") {
			n++
		}
	}
	return n
}

// Loads in place of an owner wait for each other, first come, first served, and as long as their
// callers do. The time-out of a load begins when the load does.
func TestLocalLoadsWait(t *testing.T) {
	var from origin
	n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.MaxLocalLoads = cluster.ByRing, 1
		o.Cache.Timeout, o.PeerTimeout = time.Second, 2*time.Second
	})[0]
	const keys, stuck = 6, 4 // the stuck ones take longer than the time-out of a flight that asks
	theirs := startBusy(t, n, keys+1)
	asked := n.Stats().AskFailures.Busy
	loads := n.Stats().LocalLoads
	began, gate := make(chan string, keys), make(chan struct{})
	from.set(func(_ context.Context, key string, _ int) (string, error) {
		began <- key
		if slices.Contains(theirs[:stuck], key) {
			<-gate
		}
		return "v", nil
	})
	defer close(gate)
	var results [keys]chan error
	for i := range keys {
		results[i] = make(chan error, 1)
		go func() {
			_, err := n.Fetch(t.Context(), theirs[i])
			results[i] <- err
		}()
		require.Eventually(t, func() bool { return n.Stats().LocalLoads == loads+1 && waitingForTurn() == i },
			20*time.Second, time.Millisecond, "the first one has the turn, the others wait")
	}
	impatient, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := n.Fetch(impatient, theirs[keys])
		left <- err
	}()
	require.Eventually(t, func() bool { return n.Stats().AskFailures.Busy == asked+keys+1 },
		20*time.Second, time.Millisecond)
	leave()
	require.ErrorIs(t, <-left, context.Canceled)

	for i, key := range theirs[:keys] {
		require.Equal(t, key, <-began)
		if err := <-results[i]; i < stuck {
			require.ErrorIs(t, err, courier.ErrTimeout, "its time is up, and it holds its turn no longer")
		} else {
			require.NoError(t, err, "it has waited for longer than a load may take")
		}
	}
	require.EqualValues(t, keys, n.Stats().LocalLoads-loads)
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
		<-release // ignores its context
		return "late", nil
	})
	for i := range 10 {
		for _, kind := range []string{"panic", "hang"} {
			_, err := nodes[0].Fetch(t.Context(), kind+strconv.Itoa(i))
			require.Error(t, err)
		}
	}
	s := nodes[0].Stats()
	require.NotZero(t, s.LocalLoads)
	require.EqualValues(t, 10, s.Store.Panics)
	require.Equal(t, 10, s.Store.Courier.Abandoned)
	close(release)
	require.Eventually(t, func() bool {
		return nodes[0].Stats().Store.Courier.Abandoned == 0
	}, 20*time.Second, time.Millisecond)
}

// A load in place of an owner that fetches other keys lends its turn meanwhile, since they may need
// it. Then it has the turn again, and others wait.
func TestNestedLocalLoads(t *testing.T) {
	for _, many := range []bool{false, true} {
		t.Run(fmt.Sprint("many ", many), func(t *testing.T) {
			var from batches
			n := startByRing(t, &from, func(o *cluster.Options[string]) { o.MaxLocalLoads = 1 })
			theirs := startBusy(t, n, 5)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var nested sync.Mutex
			var ended atomic.Bool // the load of the first key
			began, waited := make(chan struct{}, 10), make(chan struct{})
			from.set(func(ctx context.Context, key string, _ int) (string, error) {
				switch key {
				case theirs[0]:
					defer ended.Store(true)
				case theirs[4]:
					began <- struct{}{}
					assert.True(t, ended.Load(), "there is one turn")
					fallthrough
				default:
					return key, nil
				}
				var wg sync.WaitGroup
				for _, other := range theirs[1:3] {
					wg.Go(func() {
						v, err := n.Fetch(ctx, other)
						nested.Lock()
						defer nested.Unlock()
						assert.NoError(t, err)
						assert.Equal(t, other, v)
					})
				}
				wg.Wait()
				if _, err := n.FetchMany(ctx, theirs[3:4]); err != nil || ended.Load() {
					return key, err
				}
				asked := n.Stats().AskFailures.Busy
				go func() {
					defer close(waited)
					_, err := n.Fetch(t.Context(), theirs[4]) // on its own
					assert.NoError(t, err)
				}()
				assert.Eventually(t, func() bool { // it has no turn
					return n.Stats().AskFailures.Busy > asked
				}, 20*time.Second, time.Millisecond)
				select {
				case <-began:
				case <-time.After(50 * time.Millisecond):
				}
				return key, nil
			})
			if many {
				got, err := n.FetchMany(ctx, theirs[:1])
				require.NoError(t, err)
				require.Len(t, got, 1)
			} else {
				_, err := n.Fetch(ctx, theirs[0])
				require.NoError(t, err)
			}
			<-waited
			for _, key := range theirs { // all turns are free again
				_ = n.Clear(ctx) // which the fake does not confirm
				_, err := n.Fetch(ctx, key)
				require.NoError(t, err)
			}
		})
	}
}
