package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
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

// A batches counts calls of LoadMany, which loads each key from the origin.
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
				require.Positive(t, held) // not each, if the registry is slow
				require.LessOrEqual(t, held, count)
			}
			for _, n := range nodes {
				n.stop(t)
			}
		}
	})
}

// LoadMany may sort the keys that it is given, as the owner of keys and in place of one.
func TestLoadManyOwnsItsKeys(t *testing.T) {
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) {
		o.LoadMany = func(ctx context.Context, keys []string) (map[string]string, error) {
			slices.Sort(keys)
			values, err := from.LoadMany(ctx, keys)
			clear(keys)
			return values, err
		}
	})
	keys := append([]string{"b", "c", "a"}, startBusy(t, n, 10)...)
	slices.SortFunc(keys, func(x, y string) int { return strings.Compare(y, x) })
	got, err := n.FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Len(t, got, len(keys))
	for _, key := range keys {
		require.Equal(t, key, strings.Split(got[key], "#")[0])
		v, ok := n.Get(key)
		require.True(t, ok)
		require.Equal(t, got[key], v)
	}
}

// The same for as many keys as need several requests, and none of them finds room for all values.
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

// Without LoadMany, Load is called for each key once, and for so many at a time.
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

// What becomes of a key is told to all who wait for it, on all nodes, and of no other.
func TestErrorsOfLoadMany(t *testing.T) {
	var from batches
	from.set(func(_ context.Context, key string, n int) (string, error) {
		switch {
		case strings.HasPrefix(key, "bad"):
			return "", fmt.Errorf("row of %s: %w", key, errNotFound)
		case strings.HasPrefix(key, "none"):
			return "", cache.ErrNotFound
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	nodes := startMany(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		o.Errors = map[string]error{"not-found": errNotFound}
	})
	good := keysOf(30)
	keys := slices.Clone(good)
	for i := range 10 {
		keys = append(keys, fmt.Sprint("bad", i), fmt.Sprint("none", i))
	}
	keys = append(keys, string(make([]byte, cluster.DefaultMaxKey+1)))
	sum := 0
	for _, n := range nodes {
		got, err := n.FetchMany(t.Context(), keys)
		require.Equal(t, firsts(good), got)
		var many *cache.ManyError[string]
		require.ErrorAs(t, err, &many)
		require.Len(t, many.ByKey, 10+1)
		remote := 0
		for key, err := range many.ByKey {
			if len(key) > cluster.DefaultMaxKey {
				require.ErrorAs(t, err, new(*cluster.KeyError))
				continue
			}
			require.ErrorIs(t, err, errNotFound)
			require.ErrorContains(t, err, "row of "+key)
			var load *cluster.LoadError
			if errors.As(err, &load) {
				require.Equal(t, key, load.Key)
				remote++
			}
		}
		sum += remote
		require.Zero(t, n.Stats().LocalLoads)
		_, err = n.Fetch(t.Context(), "none0")
		require.ErrorIs(t, err, cache.ErrNotFound)
	}
	require.Equal(t, 2*10, sum, "each key is another node's on two of three")
}

// A *ManyError without values is the error of the keys that it does not name, as in package cache.
func TestErrorsOfLoadManyWithoutValues(t *testing.T) {
	var from batches
	failed := &cache.ManyError[string]{ByKey: map[string]error{"named": errNotFound}}
	nodes := startMany(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.LoadMany = func(context.Context, []string) (map[string]string, error) { return nil, failed }
	})
	keys := append(keysOf(30), "named")
	got, err := nodes[0].FetchMany(t.Context(), keys)
	require.Empty(t, got)
	var many *cache.ManyError[string]
	require.ErrorAs(t, err, &many)
	require.Len(t, many.ByKey, len(keys))
	for key, err := range many.ByKey {
		require.ErrorContains(t, err, errNotFound.Error(), key)
		require.NotErrorIs(t, err, cache.ErrNotFound)
	}
}

// A call of LoadMany that dies is an error of all keys of that owner, on all nodes.
func TestLoadManyDies(t *testing.T) {
	for name, die := range map[string]func(){
		"panic": func() { panic("boom") }, "goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from origin
			nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
				o.PeerTimeout = 10 * time.Second
				o.LoadMany = func(context.Context, []string) (map[string]string,
					error) {
					die()
					return nil, nil
				}
			})
			keys := keysOf(30)
			for _, n := range nodes {
				got, err := n.FetchMany(t.Context(), keys)
				require.Empty(t, got)
				var many *cache.ManyError[string]
				require.ErrorAs(t, err, &many)
				require.Len(t, many.ByKey, len(keys))
				for _, err := range many.ByKey {
					if name == "goexit" {
						require.ErrorIs(t, err, courier.ErrGoexit)
					} else {
						require.ErrorContains(t, err, "boom")
					}
				}
				require.Zero(t, n.Stats().LocalLoads, "nobody loads again")
			}
			loads, failures := uint64(0), uint64(0)
			for _, n := range nodes {
				s := n.Stats()
				loads, failures = loads+s.Loads, failures+s.LoadErrors
			}
			require.Equal(t, loads, failures)
			require.Positive(t, loads)
		})
	}
}

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

// counted gives node i a transport that counts.
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
				} else { // and once more if the first was sent over a connection that the owner had closed
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
				// If the request was sent over a connection that was just being closed, it looks as
				// if the owner had died while it was under way: its keys are tried one by one then.
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

// A batch that finds no place for its load waits for one, and with it no keys but those that it is
// for.
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

// A caller whose time is up gets what is there, and an error for the other keys.
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

// What is deleted while a batch is under way is not stored; other keys of the batch are.
func TestDeleteDuringABatch(t *testing.T) {
	var from batches
	nodes := startMany(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.CopyTTL, o.Cache.Tags = time.Hour, func(key, _ string) []string { return []string{key} }
	})
	keys := keysOf(20)
	gate, began := make(chan struct{}), make(chan struct{}, 100)
	from.set(func(_ context.Context, key string, n int) (string, error) {
		if n == 1 {
			began <- struct{}{}
			<-gate
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	done := make(chan error, 1)
	go func() {
		_, err := nodes[0].FetchMany(t.Context(), keys)
		done <- err
	}()
	<-began
	<-began // on both nodes
	require.NoError(t, nodes[1].Delete(t.Context(), keys[3]))
	require.NoError(t, nodes[1].InvalidateTag(t.Context(), keys[4]))
	close(gate)
	require.NoError(t, <-done)
	want := firsts(keys)
	want[keys[3]], want[keys[4]] = keys[3]+"#2", keys[4]+"#2"
	for _, n := range nodes {
		got, err := n.FetchMany(t.Context(), keys)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// An owner that has missed a delete learns of it with a request for many keys, too.
func TestDeleteThatABatchTells(t *testing.T) {
	for name, change := range map[string]func(ctx context.Context, n *node) error{
		"delete": func(ctx context.Context, n *node) error { return n.Delete(ctx, "key3") },
		"tag":    func(ctx context.Context, n *node) error { return n.InvalidateTag(ctx, "tag of k") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from batches
			walls := make([]*wall, 2)
			nodes := startMany(t, 2, &from, func(i int, o *cluster.Options[string]) {
				transport := peer.DefaultTransport(nil)
				t.Cleanup(transport.CloseIdleConnections)
				walls[i] = &wall{RoundTripper: transport, deletes: true}
				o.Transport, o.CopyTTL, o.Cache.Tags = walls[i], time.Hour, tagOf
			})
			keys := keysOf(20)
			for _, n := range nodes {
				_, err := n.FetchMany(t.Context(), keys)
				require.NoError(t, err)
			}
			for _, w := range walls {
				w.up.Store(true)
			}
			require.ErrorAs(t, change(t.Context(), nodes[0]), new(*cluster.UnconfirmedError))
			got, err := nodes[0].FetchMany(t.Context(), keys)
			require.NoError(t, err)
			require.Equal(t, "key3#2", got["key3"])
			if name == "tag" {
				for _, key := range keys {
					require.Equal(t, key+"#2", got[key])
				}
			}
		})
	}
}

// Stale values are given key by key, by owners and by this node.
func TestFetchManyOfStaleValues(t *testing.T) {
	var from batches
	nodes := startMany(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		stale(o)
		o.CopyTTL = time.Millisecond
	})
	keys := keysOf(30)
	for _, n := range nodes {
		_, err := n.FetchMany(t.Context(), keys)
		require.NoError(t, err)
	}
	from.set(func(_ context.Context, key string, n int) (string, error) {
		if key == "new" || from.count(key) > 0 && key != "key7" {
			return "", errOrigin
		}
		return fmt.Sprintf("%s#%d", key, n), nil
	})
	require.Eventually(t, func() bool {
		for _, n := range nodes {
			for _, key := range keys {
				if _, ok := n.Get(key); ok {
					return false
				}
			}
		}
		return true
	}, 20*time.Second, 10*time.Millisecond)
	check := func(n *node) {
		t.Helper()
		got, err := n.FetchMany(t.Context(), append(keys, "new"))
		var many *cache.ManyError[string]
		require.ErrorAs(t, err, &many)
		require.ErrorContains(t, many.ByKey["new"], errOrigin.Error())
		require.Len(t, many.ByKey, 1)
		require.Len(t, got, len(keys))
	}
	for _, n := range nodes {
		check(n)
		require.Positive(t, n.Stats().Stale)
		require.Zero(t, n.Stats().LocalLoads)
	}
	nodes[1].unplug()
	nodes[2].unplug()
	check(nodes[0])
	require.Positive(t, nodes[0].Stats().LocalLoads)
}

// Entries that are due are refreshed, in a batch.
func TestFetchManyRefreshes(t *testing.T) {
	var from batches
	n := startMany(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Cache.TTL, o.Cache.RefreshAt = time.Hour, 1e-9
	})[0]
	keys := keysOf(20)
	_, err := n.FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		got, err := n.FetchMany(t.Context(), keys)
		require.NoError(t, err)
		require.Len(t, got, len(keys))
		for _, key := range keys {
			if got[key] == key+"#1" {
				return false
			}
		}
		return true
	}, 20*time.Second, time.Millisecond)
	require.GreaterOrEqual(t, n.Stats().Store.Refreshes, uint64(20))
}

// LoadMany gets no more keys than MaxBatch, on the owner and in place of one.
func TestMaxBatch(t *testing.T) {
	var from batches
	nodes := startMany(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.Cache.MaxBatch = 7 })
	keys := keysOf(100)
	got, err := nodes[0].FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, firsts(keys), got)
	require.LessOrEqual(t, slices.Max(from.sizes), 7)
	require.NoError(t, nodes[0].Clear(t.Context()))
	nodes[1].unplug()
	got, err = nodes[0].FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Len(t, got, len(keys))
	require.Positive(t, nodes[0].Stats().LocalLoads)
	require.LessOrEqual(t, slices.Max(from.sizes), 7)
	require.EqualValues(t, 200, from.total.Load())
}

// Keys that LoadMany adds are left out: this node may not own them.
func TestExtraKeys(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.LoadMany = func(_ context.Context, keys []string) (map[string]string, error) {
			values := firsts(keys)
			maps.Copy(values, map[string]string{"extra1": "x", "extra2": "x"})
			return values, nil
		}
	})
	keys := keysOf(10)
	got, err := nodes[0].FetchMany(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, firsts(keys), got)
	for _, n := range nodes {
		for _, key := range []string{"extra1", "extra2"} {
			_, ok := n.Get(key)
			require.False(t, ok)
		}
	}
	require.Equal(t, 10, nodes[0].Stats().Entries, "with copies")
	require.Equal(t, nodes[0].Stats().Copies, nodes[1].Stats().Entries)
}

// Names of batches are given up when their entries have left.
func TestNamesOfManyKeys(t *testing.T) {
	var from batches
	n := startMany(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.IdleRelease, o.Cache.Capacity = idleRelease, 5
	})[0]
	_, err := n.FetchMany(t.Context(), keysOf(50))
	require.NoError(t, err)
	requireHeld(t, n, 5)
}

// A node that is asked for many keys says of each that it is another one's, and loads none of
// those.
func TestAskedForManyItDoesNotOwn(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from batches
		nodes := startMany(t, 3, &from, func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots = ownership, 16
		})
		client := peer.NewClient(peer.Config{
			Node: "stranger", Incarnation: 7, Cache: cluster.DefaultName, PeerTimeout: 10 * time.Second,
		}, peer.DefaultTransport(nil))
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

// Values that are due are refreshed by owner: one that is silent delays no key of others, and those
// that this node owns are there for other nodes meanwhile.
func TestManyAreRefreshedByOwner(t *testing.T) {
	var from batches
	nodes := startMany(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.CopyTTL, o.Cache.TTL, o.Cache.RefreshAt = time.Hour, time.Hour, 1e-9 // due at once
	})
	a, b := nodes[0], nodes[1]
	ofA, ofB := "", ""
	for i := 0; ofA == "" || ofB == ""; i++ {
		key, before := fmt.Sprint("key", i), b.Stats().Loads
		_, err := a.Fetch(t.Context(), key)
		require.NoError(t, err)
		if b.Stats().Loads > before {
			ofB = key
		} else {
			ofA = key
		}
	}
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	defer close(release)
	b.handler.Store(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	_, err := a.FetchMany(t.Context(), []string{ofA, ofB})
	require.NoError(t, err)
	<-arrived
	require.Eventually(t, func() bool {
		v, _ := a.Get(ofA)
		return v == ofA+"#2"
	}, 5*time.Second, time.Millisecond, "it waits for another owner")
	require.Zero(t, a.Stats().LocalLoads)
}

// A copy of a batch ends no later than the owner's entry, however long other keys of it take.
func TestCopiesOfASlowBatch(t *testing.T) {
	const keep = time.Second // what is left of the owner's entries
	var from batches
	n := startByRing(t, &from, nil)
	var asked sync.Map
	var slow atomic.Value // the first key that is asked for, which its owner can't send
	f := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		asked.Store(key, true)
		if slow.CompareAndSwap(nil, key) || slow.Load() == key {
			return peer.Value{}, peer.ErrUnsendable
		}
		return peer.Value{Data: []byte(key), Keep: keep}, nil
	})
	waitForFakes(t, n, 1)
	from.set(func(_ context.Context, key string, _ int) (string, error) {
		if slow.Load() == key {
			time.Sleep(keep + keep/10)
		}
		return key, nil
	})
	got, err := n.FetchMany(t.Context(), keysOf(20))
	require.NoError(t, err)
	require.Len(t, got, 20)
	require.NotEmpty(t, f.requests())
	asked.Range(func(k, _ any) bool {
		key, _ := k.(string)
		_, held := n.Get(key)
		require.Equal(t, slow.Load() == key, held, "%s: its owner's entry has ended", key)
		return true
	})
}

// What a key of FetchMany costs on both nodes is bounded.
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
