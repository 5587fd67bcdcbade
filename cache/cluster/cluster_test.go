package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/courier"
)

var ownerships = []cluster.Ownership{cluster.ByKey, cluster.BySlot, cluster.ByRing}

func forEachOwnership(t *testing.T, f func(t *testing.T, ownership cluster.Ownership)) {
	for _, o := range ownerships {
		t.Run(o.String(), func(t *testing.T) { t.Parallel(); f(t, o) })
	}
}

func TestOneLoadInTheWholeCluster(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from origin
		gate := make(chan struct{})
		from.set(func(_ context.Context, key string, n int) (string, error) {
			<-gate
			return fmt.Sprintf("%s#%d", key, n), nil
		})
		nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots = ownership, 16
			o.PeerTimeout = 10 * time.Second // a busy machine makes no owner silent
		})
		const each = 50
		var arrived atomic.Int64
		go func() {
			for arrived.Load() < 3*each {
				runtime.Gosched()
			}
			close(gate)
		}()
		everywhere(nodes, each, func(n *node) {
			arrived.Add(1)
			v, err := n.Fetch(t.Context(), "k")
			assert.NoError(t, err)
			assert.Equal(t, "k#1", v)
		})
		require.Equal(t, 1, from.count("k"))

		for i := range 50 { // and many keys: each once
			key := fmt.Sprint("key", i)
			everywhere(nodes, 1, func(n *node) {
				v, err := n.Fetch(t.Context(), key)
				assert.NoError(t, err)
				assert.Equal(t, key+"#1", v)
			})
		}
		require.EqualValues(t, 51, from.total.Load())
		loaders := 0
		for _, n := range nodes {
			s := n.Stats()
			if s.Loads > 0 {
				loaders++
			}
			assert.Zero(t, s.LocalLoads)
			assert.Zero(t, s.AskFailures)
			if ownership != cluster.ByRing {
				assert.NotZero(t, s.Held)
			}
		}
		require.Equal(t, 3, loaders, "the keys are spread")
	})
}

// A copy lives no longer than the owner's entry, and no longer than CopyTTL.
func TestCopiesEndWithTheEntry(t *testing.T) {
	var from origin
	const ttl = time.Second
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
		o.Cache = cache.Options[string, string]{TTL: ttl}
		o.CopyTTL = time.Hour
	})
	_, err := nodes[0].Fetch(t.Context(), "k")
	require.NoError(t, err)
	own := owner(t, nodes)
	other := others(nodes, own)[0]
	var born [64]time.Time // a time before which value n was not loaded
	born[1] = time.Now()
	seen := 0
	for seen < 3 { // so two values have come to their end
		began := time.Now()
		v, err := other.Fetch(t.Context(), "k")
		require.NoError(t, err)
		var n int
		_, err = fmt.Sscanf(v, "k#%d", &n)
		require.NoError(t, err)
		if born[n].IsZero() {
			born[n] = time.Now()
		}
		require.Less(t, began.Sub(born[n]), ttl+100*time.Millisecond, "value %d was served after its TTL",
			n)
		seen = max(seen, n)
		time.Sleep(time.Millisecond)
	}
	require.NotZero(t, other.Stats().Hits)
}

func TestCopiesAreNotKept(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.CopyTTL = -1 })
	_, err := nodes[0].Fetch(t.Context(), "k")
	require.NoError(t, err)
	other := others(nodes, owner(t, nodes))[0]
	asked := other.Stats().Asked
	for range 5 {
		_, err := other.Fetch(t.Context(), "k")
		require.NoError(t, err)
	}
	require.Equal(t, asked+5, other.Stats().Asked)
	_, ok := other.Get("k")
	require.False(t, ok)
	require.Equal(t, 1, from.count("k"))
}

func TestGetIsLocal(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, nil)
	_, ok := nodes[0].Get("k")
	require.False(t, ok)
	_, err := nodes[0].Fetch(t.Context(), "k")
	require.NoError(t, err)
	v, ok := nodes[0].Get("k")
	require.True(t, ok, "its own or a copy")
	require.Equal(t, "k#1", v)
	own := owner(t, nodes)
	if own == nodes[0] {
		_, ok = nodes[1].Get("k")
		require.False(t, ok)
	}
	require.EqualValues(t, 1, from.total.Load())
}

var errNotFound = errors.New("not found")

// Callers on all nodes get the error of Load, and no node loads again.
func TestErrorsOfLoad(t *testing.T) {
	var from origin
	nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
		o.Errors = map[string]error{"not-found": errNotFound}
		o.Cache.Courier = []courier.Option{courier.WithTimeout(5 * time.Second)}
	})
	cases := map[string]struct {
		load  func(ctx context.Context) (string, error)
		check func(t *testing.T, err error)
	}{
		"plain": {func(context.Context) (string, error) { return "", errors.New("disk on fire") },
			func(t *testing.T, err error) { t.Helper(); assert.ErrorContains(t, err, "disk on fire") }},
		"sentinel": {func(context.Context) (string,
			error) {
			return "", fmt.Errorf("row 7: %w", errNotFound)
		}, func(t *testing.T, err error) {
			t.Helper()
			assert.ErrorIs(t, err, errNotFound)
			assert.ErrorContains(t, err, "row 7")
		}},
		"panic": {func(context.Context) (string, error) { panic("boom") },
			func(t *testing.T, err error) { t.Helper(); assert.ErrorContains(t, err, "boom") }},
		"goexit": {func(context.Context) (string, error) { runtime.Goexit(); return "", nil },
			func(t *testing.T, err error) { t.Helper(); assert.ErrorIs(t, err, courier.ErrGoexit) }},
	}
	for key, c := range cases {
		t.Run(key, func(t *testing.T) {
			from.set(func(ctx context.Context, _ string, _ int) (string, error) {
				time.Sleep(50 * time.Millisecond) // so that all wait for one load; more loads fail the test
				return c.load(ctx)
			})
			var remote atomic.Int64
			everywhere(nodes, 20, func(n *node) {
				_, err := n.Fetch(t.Context(), key)
				if !assert.Error(t, err) {
					return
				}
				c.check(t, err)
				if e := (*cluster.LoadError)(nil); errors.As(err, &e) {
					remote.Add(1)
					assert.NotEqual(t, n.name, e.Node)
					assert.Equal(t, key, e.Key)
				}
			})
			require.EqualValues(t, 40, remote.Load(), "on two of three nodes the load ran elsewhere")
			require.LessOrEqual(t, from.count(key), 2, "a caller may come after the first load has failed")
		})
	}
	for _, n := range nodes {
		require.Zero(t, n.Stats().LocalLoads)
	}
}

// Keys are any bytes.
func TestKeys(t *testing.T) {
	var from origin
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.MaxKey = 1000 })
	for _, key := range []string{
		"", " ", "\x00", "\r\nX-Evil: 1", "../../etc/passwd", "%2e%2e/", "a/b?c=d#e", "\xff\xfe", "ключ",
		string(make([]byte, 1000)),
	} {
		for _, n := range nodes {
			v, err := n.Fetch(t.Context(), key)
			require.NoError(t, err, "%q", key)
			require.Equal(t, key+"#1", v)
		}
	}
	_, err := nodes[0].Fetch(t.Context(), string(make([]byte, 1001)))
	var e *cluster.KeyError
	require.ErrorAs(t, err, &e)
	require.EqualError(t, err, "cluster: key of 1001 bytes: want at most 1000 (Options.MaxKey)")
	require.ErrorAs(t, nodes[0].Delete(t.Context(), string(make([]byte, 1001))), &e)
}

func TestTraceReachesTheOwner(t *testing.T) {
	var from origin
	got := make(chan string, 8)
	from.set(func(ctx context.Context, _ string, _ int) (string, error) {
		got <- cluster.TraceFrom(ctx).Get("Traceparent")
		return "v", nil
	})
	nodes := start(t, 2, &from, nil)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := cluster.WithTrace(t.Context(),
		map[string][]string{"Traceparent": {trace}, "Cookie": {"secret"}})
	for i := range 8 {
		_, err := nodes[0].Fetch(ctx, strconv.Itoa(i))
		require.NoError(t, err)
		require.Equal(t, trace, <-got)
	}
	require.NotZero(t, nodes[1].Stats().Loads, "some were loaded on the other node")
	require.Empty(t, cluster.TraceFrom(ctx).Get("Cookie"))
}

// The owner's load goes on while a caller on any node waits for it, and ends when the last one has
// left.
func TestLoadEndsWithItsLastCaller(t *testing.T) {
	var from origin
	nodes := start(t, 3, &from, nil)
	began, ended := make(chan struct{}, 1), make(chan struct{})
	from.set(func(ctx context.Context, _ string, _ int) (string, error) {
		began <- struct{}{}
		<-ctx.Done()
		close(ended)
		return "", ctx.Err()
	})
	var leave []context.CancelFunc
	left := make(chan error, 6)
	for i := range 6 {
		ctx, cancel := context.WithCancel(t.Context())
		leave = append(leave, cancel)
		go func() {
			_, err := nodes[i%3].Fetch(ctx, "k")
			left <- err
		}()
	}
	<-began
	// two callers and two nodes wait at the owner, two callers on each other node
	require.Eventually(t, func() bool {
		waiting := 0
		for _, n := range nodes {
			waiting += n.Stats().Store.Courier.Waiting
		}
		return waiting == 8
	}, 20*time.Second, time.Millisecond)
	for i, cancel := range leave {
		select {
		case <-ended:
			t.Fatalf("the load ended with %d callers waiting", len(leave)-i)
		default:
		}
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the load goes on, though no caller waits for it")
	}
	require.Equal(t, 1, from.count("k"))
}
