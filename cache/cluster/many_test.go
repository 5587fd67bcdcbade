package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// A batches is an origin with a LoadMany, whose calls it counts.
type batches struct {
	origin
	mu    sync.Mutex
	sizes []int
}

func (b *batches) LoadMany(ctx context.Context, keys []string) (map[string]string, error) {
	b.mu.Lock()
	b.sizes = append(b.sizes, len(keys))
	b.mu.Unlock()
	values := make(map[string]string)
	failed := make(map[string]error)
	for _, key := range keys {
		switch v, err := b.Load(ctx, key); {
		case err == nil:
			values[key] = v
		case !errors.Is(err, cache.ErrNotFound):
			failed[key] = err
		}
	}
	if len(failed) > 0 {
		return values, &cache.ManyError[string]{ByKey: failed}
	}
	return values, nil
}

func (b *batches) calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sizes)
}

// startMany starts nodes that load many keys at once.
func startMany(
	tb testing.TB, count int, from *batches, change func(i int, o *cluster.Options[string]),
) []*node {
	tb.Helper()
	return start(tb, count, &from.origin, func(i int, o *cluster.Options[string]) {
		o.LoadMany, o.PeerTimeout = from.LoadMany, 10*time.Second
		if change != nil {
			change(i, o)
		}
	})
}

func keysOf(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
	}
	return keys
}

// firsts are the first values of keys.
func firsts(keys []string) map[string]string {
	values := make(map[string]string)
	for _, key := range keys {
		values[key] = key + "#1"
	}
	return values
}

// Each owner is asked once, and loads what it lacks with one call.
func TestFetchMany(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		for _, count := range []int{0, 1, 300} {
			var from batches
			nodes := startMany(t, 3, &from, func(_ int, o *cluster.Options[string]) {
				o.Ownership, o.Slots, o.CopyTTL = ownership, 16, time.Hour
			})
			keys := keysOf(count)
			twice := slices.Concat(keys, keys)
			for _, n := range nodes {
				got, err := n.FetchMany(t.Context(), twice)
				require.NoError(t, err)
				require.Equal(t, firsts(keys), got, "node %s", n.name)
			}
			require.EqualValues(t, count, from.total.Load(), "each key once")
			require.LessOrEqual(t, from.calls(), 3, "calls of LoadMany")
			calls := from.calls()
			for _, n := range nodes { // from what each has
				asked := n.Stats().Asked
				got, err := n.FetchMany(t.Context(), keys)
				require.NoError(t, err)
				require.Len(t, got, count)
				require.Equal(t, asked, n.Stats().Asked)
				for _, key := range keys[:min(count, 3)] {
					v, ok := n.Get(key)
					require.True(t, ok)
					require.Equal(t, key+"#1", v)
				}
			}
			require.Equal(t, calls, from.calls())
			held, entries := 0, 0
			for _, n := range nodes {
				s := n.Stats()
				held, entries = held+s.Held, entries+s.Entries-s.Copies
				require.Zero(t, s.LocalLoads)
				require.Zero(t, s.AskFailures)
			}
			require.Equal(t, count, entries)
			if ownership == cluster.ByKey && count > 0 {
				require.LessOrEqual(t, held, count)
				require.Eventually(t, func() bool { // not each, if the registry is slow
					held := 0
					for _, n := range nodes {
						held += n.Stats().Held
					}
					return held > 0
				}, time.Minute, time.Millisecond)
			}
			for _, n := range nodes {
				n.stop(t)
			}
		}
	})
}

// The same holds for keys that need several requests, whose answers have no room for all values.
func TestFetchManyOfManyKeys(t *testing.T) {
	var from batches
	nodes := startMany(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.Slots, o.MaxValue = cluster.BySlot, 16, 10_000
		o.Cache.Capacity = 100_000
	})
	keys := keysOf(30_000)
	got, err := nodes[0].FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, firsts(keys), got)
	require.EqualValues(t, len(keys), from.total.Load())
	require.LessOrEqual(t, from.calls(), 5)
}

// Without LoadMany, Load is called once for each key, and for a bounded number of keys at a time.
func TestFetchManyWithoutLoadMany(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.PeerTimeout = 10 * time.Second // a busy machine makes no owner silent
	})
	var running, most atomic.Int64
	from.set(func(_ context.Context, key string, n int) (string, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		time.Sleep(time.Millisecond)
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	keys := keysOf(1000)
	for _, n := range nodes {
		got, err := n.FetchMany(t.Context(), keys)
		require.NoError(t, err)
		require.Equal(t, firsts(keys), got)
	}
	require.EqualValues(t, 1000, from.total.Load())
	require.LessOrEqual(t, most.Load(), int64(2*64), "on each node")
	require.Greater(t, most.Load(), int64(1))
	require.Less(t, nodes[0].Stats().Asked+nodes[1].Stats().Asked, uint64(1500))
}

// Single fetches and batches of the same key share its load, whoever came first, on all nodes.
func TestFetchManyJoins(t *testing.T) {
	for _, first := range []string{"single", "batch"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			var from batches
			gate := make(chan struct{})
			from.set(func(_ context.Context, key string, n int) (string, error) {
				<-gate
				return fmt.Sprintf("%s#%d", key, n), nil
			})
			nodes := startMany(t, 3, &from, nil)
			keys := keysOf(6)
			var callers sync.WaitGroup
			single := func() {
				for _, n := range nodes {
					for _, key := range keys {
						callers.Go(func() {
							v, err := n.Fetch(t.Context(), key)
							assert.NoError(t, err)
							assert.Equal(t, key+"#1", v)
						})
					}
				}
			}
			batch := func() {
				for _, n := range nodes {
					callers.Go(func() {
						got, err := n.FetchMany(t.Context(), keys)
						assert.NoError(t, err)
						assert.Equal(t, firsts(keys), got)
					})
				}
			}
			waiting := func() (sum int) {
				for _, n := range nodes {
					s := n.Stats()
					sum += s.Store.Courier.Waiting
				}
				return sum
			}
			one, other := single, batch
			if first == "batch" {
				one, other = batch, single
			}
			one()
			require.Eventually(t, func() bool { // a batch asks for the next key when it has the one before
				return from.total.Load() > 0 && waiting() > 0
			}, 20*time.Second, time.Millisecond)
			other()
			require.Eventually(t, func() bool { return waiting() >= 3*6+3 }, 20*time.Second,
				time.Millisecond)
			close(gate)
			callers.Wait()
			require.EqualValues(t, len(keys), from.total.Load())
		})
	}
}

// Names of keys that a batch has loaded are released when their entries have left.
func TestNamesOfManyKeys(t *testing.T) {
	var from batches
	n := startMany(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.IdleRelease, o.Cache.Capacity = idleRelease, 5
	})[0]
	_, err := n.FetchMany(t.Context(), keysOf(50))
	require.NoError(t, err)
	requireHeld(t, n, 5)
}

// A node that is asked for many keys of another owner answers with the owner of each, and loads
// none of them.
func TestAskedForManyItDoesNotOwn(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from batches
		nodes := startMany(t, 3, &from, func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots = ownership, 16
		})
		client := peer.NewClient(peerConfig("stranger", 7), peer.DefaultTransport(nil))
		defer client.Close()
		keys := keysOf(30)
		_, err := nodes[0].FetchMany(t.Context(), keys)
		require.NoError(t, err)
		asks := make([]peer.Ask, 0, 2*len(keys))
		for _, key := range append(keys, keys...) {
			asks = append(asks, peer.Ask{Key: key})
		}
		owners := make(map[string]string)
		served := 0
		for _, n := range nodes {
			for i, o := range client.FetchMany(t.Context(), addressOf(t, n), asks) {
				key := asks[i].Key
				owner := n.name
				if o.Err == nil {
					require.Contains(t, string(o.Value.Data), key+"#")
					require.Equal(t, cache.Forever, o.Value.Keep)
					served++
				} else {
					var elsewhere *peer.MisplacedError
					require.ErrorAs(t, o.Err, &elsewhere)
					owner = elsewhere.Owner
				}
				require.True(t, owners[key] == "" || owners[key] == owner)
				owners[key] = owner
			}
		}
		require.Equal(t, 2*len(keys), served)
	})
}

// The allocations per key of FetchMany are bounded on both nodes.
func TestAllocationsOfManyKeys(t *testing.T) {
	var from batches
	nodes := startMany(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.CopyTTL = cluster.ByRing, -1
	})
	var theirs []string
	for i := 0; len(theirs) < 200; i++ {
		key, asked := fmt.Sprint("key", i), nodes[0].Stats().Asked
		_, err := nodes[0].Fetch(t.Context(), key)
		require.NoError(t, err)
		if nodes[0].Stats().Asked > asked {
			theirs = append(theirs, key)
		}
	}
	of := func(keys []string) float64 {
		return testing.AllocsPerRun(50, func() {
			got, err := nodes[0].FetchMany(t.Context(), keys)
			require.NoError(t, err)
			require.Len(t, got, len(keys))
		})
	}
	require.Less(t, (of(theirs)-of(theirs[:100]))/100, 2.5)
	require.Zero(t, nodes[0].Stats().LocalLoads)
}
