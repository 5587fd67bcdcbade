package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
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

// A value that is too large to be sent is loaded by each node for itself. A Delete that all confirm
// reaches that load, too.
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

// With owners that seem silent now and then, and loads under way at any time, no node gives what
// was loaded before its own change, nor any node what was loaded before a change that all have
// confirmed.
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
			if err == nil { // a node that is not seen all the time, on a busy machine, is told later
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

// Two nodes that each ask the other for a key, since its owner has changed twice, do not wait for
// each other: the one that is asked says that it is busy.
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
				client := peer.NewClient(peer.Config{Node: "x", Incarnation: 7, Cache: cluster.DefaultName},
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
					if s := other.Stats(); s.Asked > 0 { // else it owns the key
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

// Copies leave room for the entries that a node owns: the oldest go when there are too many, or too
// heavy ones.
func TestCopiesAreBounded(t *testing.T) {
	for name, change := range map[string]func(o *cluster.Options[string]){
		"number": func(o *cluster.Options[string]) { o.Cache.Capacity = 80 },
		"weight": func(o *cluster.Options[string]) {
			o.Cache.MaxWeight, o.Cache.Weigher = 800, func(string, string) uint32 { return 10 }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from origin
			n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
				o.Ownership, o.CopyTTL = cluster.ByRing, time.Hour
				change(o)
			})[0]
			x := startFake(t, "x", n.registry.Addr(), func(string) (peer.Value, error) {
				return peer.Value{Data: []byte("x"), Keep: cache.Forever}, nil
			})
			waitForFakes(t, n, 1)
			var own, copied []string
			for i := range 400 {
				key, loads := fmt.Sprint("key", i), n.Stats().Loads
				if len(own) == 40 && n.Stats().Loads == loads && len(copied) > 100 {
					break
				}
				_, err := n.Fetch(t.Context(), key)
				require.NoError(t, err)
				switch {
				case n.Stats().Loads == loads:
					copied = append(copied, key)
				case len(own) < 40:
					own = append(own, key)
				default:
					require.NoError(t, ignoreUnconfirmed(n.Delete(t.Context(), key)))
				}
				require.LessOrEqual(t, n.Stats().Copies, 10)
			}
			require.Greater(t, len(copied), 100)
			require.Equal(t, 10, n.Stats().Copies)
			for _, key := range own {
				_, ok := n.Get(key)
				require.True(t, ok, "an own entry made room for a copy")
			}
			for i, key := range copied {
				_, ok := n.Get(key)
				require.Equal(t, i >= len(copied)-10, ok, "the oldest went first")
			}
			x.leave() // what were copies are entries like others from now on
			waitForFakes(t, n, 0)
			_ = n.Clear(t.Context())
			require.Zero(t, n.Stats().Copies)
			require.Zero(t, n.Stats().Entries)
		})
	}
}

func ignoreUnconfirmed(err error) error {
	if errors.As(err, new(*cluster.UnconfirmedError)) {
		return nil
	}
	return err
}

// A key that has no record, or whose load fails, costs no name.
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

// A stale value here is given at the soft time-out, although the owner says nothing.
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

// What the owner says of a load whose time is up is heard, though the asker has the same time-out.
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

// Others are asked although as many loads as there may be run here, or hang.
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

// StoreFor in a load of one key says nothing of the others that are loaded in place of an owner.
func TestStoreForOfOneKeyOfMany(t *testing.T) {
	var from origin
	n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.CopyTTL = cluster.ByRing, time.Hour
	})[0]
	theirs := startBusy(t, n, 4)
	from.set(func(ctx context.Context, key string, _ int) (string, error) {
		if key == theirs[1] {
			cache.StoreFor(ctx, 0)
		}
		return "v", nil
	})
	got, err := n.FetchMany(t.Context(), theirs)
	require.NoError(t, err)
	require.Len(t, got, 4)
	for i, key := range theirs {
		_, ok := n.Get(key)
		require.Equal(t, i != 1, ok, "key %d", i)
	}
}

// StoreFor in one call of LoadMany in place of an owner says nothing of the keys of another call.
func TestStoreForOfOneBatchOfMany(t *testing.T) {
	var from origin
	var n *node
	var theirs []string
	n = start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.CopyTTL, o.Cache.MaxBatch = cluster.ByRing, time.Hour, 2
		o.LoadMany = func(ctx context.Context, keys []string) (map[string]string, error) {
			if slices.Contains(keys, theirs[1]) {
				cache.StoreFor(ctx, 0)
			} else if slices.Contains(keys, theirs[3]) {
				cache.StoreFor(ctx, cache.Forever)
			}
			return firsts(keys), nil
		}
	})[0]
	theirs = startBusy(t, n, 6)
	got, err := n.FetchMany(t.Context(), theirs)
	require.NoError(t, err)
	require.Equal(t, firsts(theirs), got)
	for i, key := range theirs {
		_, ok := n.Get(key)
		require.Equal(t, i > 1, ok, "key %d", i)
	}
}

// theirsOf returns keys of which n has copies.
func theirsOf(t *testing.T, n *node, count int) (keys []string) {
	t.Helper()
	for i := 0; len(keys) < count; i++ {
		require.Less(t, i, 1000)
		if v, ok := n.Get(fmt.Sprint("key", i)); ok && v == "x" {
			keys = append(keys, fmt.Sprint("key", i))
		}
	}
	return keys
}

// OnEviction may use the cache, also while deletes of another node are applied, and close it.
func TestEvictionThatUsesTheCache(t *testing.T) {
	var from origin
	var nodes []*node
	ready := make(chan struct{})
	var calls atomic.Int64
	nodes = start(t, 2, &from, func(i int, o *cluster.Options[string]) {
		o.Cache.Capacity, o.Cache.Tags, o.CopyTTL = 50, tagOf, time.Hour
		o.Cache.OnEviction = func(string, string, cache.Reason) {
			<-ready
			n := nodes[i]
			switch calls.Add(1) % 4 {
			case 0:
				_ = n.Delete(context.Background(), "k of the callback")
			case 1:
				_, _ = n.Fetch(context.Background(), "k of the callback")
			case 2:
				_ = n.InvalidateTag(context.Background(), "tag of k")
			default:
				_ = n.Clear(context.Background())
			}
		}
	})
	close(ready)
	for round := range 5 {
		for i := range 60 {
			_, err := nodes[i%2].Fetch(t.Context(), fmt.Sprint("k", i))
			require.NoError(t, err)
		}
		for i := range 60 {
			require.NoError(t, nodes[round%2].Delete(t.Context(), fmt.Sprint("k", i)))
		}
		require.NoError(t, nodes[round%2].Clear(t.Context()))
	}
	require.NotZero(t, calls.Load())
}

func TestEvictionThatCloses(t *testing.T) {
	var from origin
	var n *node
	closed := make(chan error, 1)
	n = start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.Cache.Capacity = 10
		o.Cache.OnEviction = func(string, string, cache.Reason) {
			select {
			case closed <- n.Close():
			default:
			}
		}
	})[0]
	for i := 0; ; i++ {
		if _, err := n.Fetch(t.Context(), fmt.Sprint("k", i)); err != nil {
			require.ErrorIs(t, err, cluster.ErrClosed)
			break
		}
	}
	var callback *cache.CallbackError
	require.ErrorAs(t, <-closed, &callback, "it has waited for itself, for a second")
	n.stopped.Do(func() { // its Close fails
		n.unplug()
		require.NoError(t, n.registry.Close())
	})
}
