package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// A counter counts requests for many keys. If hangs is set they get no answer.
type counter struct {
	http.RoundTripper
	many  atomic.Int64
	hangs atomic.Bool
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/fetch-many") {
		c.many.Add(1)
		if c.hangs.Load() {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
	}
	return c.RoundTripper.RoundTrip(r)
}

// counted sets a transport that counts.
func counted(t *testing.T, o *cluster.Options[string]) *counter {
	t.Helper()
	transport := peer.DefaultTransport(nil)
	t.Cleanup(transport.CloseIdleConnections)
	c := &counter{RoundTripper: transport}
	o.Transport = c
	return c
}

// An owner that can't be reached, or hangs, costs one wait for all its keys, and then a load here:
// one for all of them, which counts as one.
func TestFetchManyWithoutOwner(t *testing.T) {
	for _, many := range []bool{false, true} {
		for _, hangs := range []bool{false, true} {
			t.Run(fmt.Sprintf("LoadMany=%v,hangs=%v", many, hangs), func(t *testing.T) {
				t.Parallel()
				var from batches
				var requests *counter
				nodes := startMany(t, 2, &from, func(i int, o *cluster.Options[string]) {
					o.MaxLocalLoads, o.CopyTTL = 1, time.Millisecond
					if hangs {
						o.PeerTimeout = 500 * time.Millisecond
					}
					if !many {
						o.LoadMany = nil
					}
					if i == 0 {
						requests = counted(t, o)
					}
				})
				keys := keysOf(100)
				requests.hangs.Store(hangs)
				if !hangs {
					nodes[1].unplug()
				}
				got, err := nodes[0].FetchMany(t.Context(), keys)
				require.NoError(t, err)
				require.Equal(t, firsts(keys), got)
				if hangs {
					require.EqualValues(t, 1, requests.many.Load())
				} else { // twice if the first was sent over a connection that the owner had closed
					require.LessOrEqual(t, requests.many.Load(), int64(2))
				}
				s := nodes[0].Stats()
				require.Greater(t, s.LocalLoads, uint64(10))
				require.Less(t, s.LocalLoads, uint64(90))
				if hangs {
					require.Equal(t, s.LocalLoads, s.AskFailures.Silent)
				} else {
					require.Equal(t, s.LocalLoads, s.AskFailures.Unreachable)
				}
				// If the request was sent over a connection that was just being closed, the owner seems to have
				// died while it was under way, and its keys are tried one by one.
				if many && s.Trials == 0 {
					require.Equal(t, 2, from.calls(), "one for each owner")
				}
				// Kept as an owner would keep them, although copies are not.
				got, err = nodes[0].FetchMany(t.Context(), keys)
				require.NoError(t, err)
				require.Len(t, got, len(keys))
				require.EqualValues(t, 100, from.total.Load())
			})
		}
	}
}

// A batch whose load has no turn waits for one, and delays no other keys.
func TestFetchManyWaitsForALocalLoad(t *testing.T) {
	var from origin
	n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.MaxLocalLoads, o.LoadMany = cluster.ByRing, 1, manyOf(&from)
	})[0]
	theirs := startBusy(t, n, 21)
	began, gate := make(chan struct{}, 1), make(chan struct{})
	from.set(func(_ context.Context, key string, n int) (string, error) {
		if key == theirs[0] {
			began <- struct{}{}
			<-gate
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	held := make(chan error, 1)
	go func() {
		_, err := n.Fetch(t.Context(), theirs[0])
		held <- err
	}()
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mine := keysOf(50)
	done := make(chan map[string]string, 1)
	go func() {
		got, err := n.FetchMany(ctx, append(mine, theirs[1:]...))
		assert.NoError(t, err)
		done <- got
	}()
	require.Eventually(t, func() bool { // own keys, which do not wait
		return n.Stats().Loads > 1
	}, 20*time.Second, time.Millisecond)
	close(gate)
	require.NoError(t, <-held)
	require.Len(t, <-done, 70)
}

// A caller whose deadline has passed gets the values that are there, and an error for each other
// key.
func TestFetchManyAtTheDeadline(t *testing.T) {
	var from batches
	release := make(chan struct{})
	defer close(release)
	nodes := startMany(t, 3, &from, nil)
	keys := keysOf(60)
	_, err := nodes[0].FetchMany(t.Context(), keys)
	require.NoError(t, err)
	slow := nodes[1]
	owned := make(map[string]bool)
	for _, key := range keys {
		before := slow.Stats().Hits
		_, err := slow.Fetch(t.Context(), key)
		require.NoError(t, err)
		owned[key] = slow.Stats().Hits > before
	}
	require.NoError(t, nodes[0].Clear(t.Context()))
	from.set(func(_ context.Context, key string, n int) (string, error) {
		if owned[key] {
			<-release
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	got, err := nodes[0].FetchMany(ctx, keys)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var many *cache.ManyError[string]
	require.ErrorAs(t, err, &many)
	require.NotEmpty(t, got)
	require.NotEmpty(t, many.ByKey)
	for _, key := range keys {
		_, there := got[key]
		require.Equal(t, !owned[key], there, key)
		_, failed := many.ByKey[key]
		require.Equal(t, owned[key], failed, key)
	}
}

func TestFetchManyOfAClosedCache(t *testing.T) {
	var from batches
	nodes := startMany(t, 2, &from, nil)
	_, err := nodes[0].FetchMany(t.Context(), keysOf(10))
	require.NoError(t, err)
	nodes[0].stop(t)
	got, err := nodes[0].FetchMany(t.Context(), keysOf(10))
	require.Empty(t, got)
	require.ErrorIs(t, err, cluster.ErrClosed)
}
