package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/group"
)

// A fake is a member of a cache, by ring, that answers as a test wants.
type fake struct {
	name   string
	answer func(key string) (peer.Value, error)
	close  func() // its server; it stays a member
	leave  func() // the group

	// These take the place of answer and errNoDeletes if an option of startFake sets them.
	try      func(ctx context.Context, key string) (peer.Value, error)
	exchange func(ctx context.Context) ([]byte, error)

	mu    sync.Mutex
	asked []int // keys of each request
}

// startFake starts a member that other nodes ask for keys.
func startFake(
	t *testing.T, name, seed string, answer func(key string) (peer.Value, error),
	options ...func(*fake),
) *fake {
	t.Helper()
	f := &fake{name: name, answer: answer}
	for _, set := range options {
		set(f)
	}
	const run = 0xfa4e
	r, err := registry.Open(t.Context(), registry.Config{NodeName: name, Seeds: []string{seed}})
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{
		Handler: peer.NewServer(peerConfig(name, run),
			f),
		ReadHeaderTimeout: time.Minute,
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	meta, err := json.Marshal(map[string]any{
		"v": 3, "url": "http://" + l.Addr().String(), "run": strconv.FormatUint(run, 16),
		"codec": "string", "ownership": "ring",
	})
	require.NoError(t, err)
	groups, err := group.Open(t.Context(), r)
	require.NoError(t, err)
	membership, err := groups.Join(t.Context(), "cache/"+cluster.DefaultName, meta)
	require.NoError(t, err)
	f.leave = func() { require.NoError(t, membership.Leave()) }
	f.close = func() {
		_ = server.Close()
		<-served
	}
	t.Cleanup(func() {
		f.close()
		require.NoError(t, r.Close())
	})
	return f
}

// Fetch implements peer.Backend.
func (f *fake) Fetch(_ context.Context, _, key string, _ []byte) (peer.Value, error) {
	f.note(1)
	return f.answer(key)
}

// Try implements peer.Backend.
func (f *fake) Try(ctx context.Context, from, key string, after, _ []byte) (peer.Value, error) {
	if f.try != nil {
		return f.try(ctx, key)
	}
	return f.Fetch(ctx, from, key, after)
}

// FetchMany implements peer.Backend.
func (f *fake) FetchMany(_ context.Context, _ string, asks []peer.Ask) []peer.Outcome {
	f.note(len(asks))
	outcomes := make([]peer.Outcome, len(asks))
	for i, a := range asks {
		outcomes[i].Value, outcomes[i].Err = f.answer(a.Key)
	}
	return outcomes
}

var errNoDeletes = errors.New("it takes no deletes")

// Exchange implements peer.Backend.
func (f *fake) Exchange(ctx context.Context, _ string, _ []byte) ([]byte, error) {
	if f.exchange != nil {
		return f.exchange(ctx)
	}
	return nil, errNoDeletes
}

func (f *fake) note(keys int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, keys)
}

// requests returns the keys of each request.
func (f *fake) requests() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// startByRing starts a node by ring that loads many keys at once.
func startByRing(t *testing.T, from *batches, change func(o *cluster.Options[string])) *node {
	t.Helper()
	return startMany(t, 1, from, func(_ int, o *cluster.Options[string]) {
		if o.Ownership, o.CopyTTL = cluster.ByRing, time.Hour; change != nil {
			change(o)
		}
	})[0]
}

// waitForFakes waits until n asks each of the fakes.
func waitForFakes(t *testing.T, n *node, count int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return len(n.Stats().Peers) == count
	}, 20*time.Second, time.Millisecond)
}

// startBusy starts a member that is always busy, and returns count keys that n asks it for.
func startBusy(t *testing.T, n *node, count int) (theirs []string) {
	t.Helper()
	startFake(t, "busy", n.registry.Addr(), func(string) (peer.Value, error) {
		return peer.Value{}, peer.ErrBusy
	})
	waitForFakes(t, n, 1)
	for i := 0; len(theirs) < count; i++ {
		require.Less(t, i, 100*count)
		key, asked := fmt.Sprint("theirs", i), n.Stats().Asked
		_, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
		if n.Stats().Asked > asked {
			theirs = append(theirs, key)
		}
	}
	_ = n.Clear(t.Context()) // which the fake does not confirm
	return theirs
}

// manyOf returns a LoadMany that loads one key after the other.
func manyOf(from *origin) func(ctx context.Context, keys []string) (map[string]string, error) {
	return func(ctx context.Context, keys []string) (map[string]string, error) {
		values := make(map[string]string, len(keys))
		for _, key := range keys {
			v, err := from.Load(ctx, key)
			if err != nil {
				return values, err
			}
			values[key] = v
		}
		return values, nil
	}
}

// A hint is followed once, and with one request for all keys that it is about.
func TestHintsForManyKeys(t *testing.T) {
	for _, there := range []bool{true, false} { // whether the node that the hint names has the keys
		t.Run(fmt.Sprint(there), func(t *testing.T) { //nolint:perfsprint // a test
			t.Parallel()
			var from batches
			n := startByRing(t, &from, nil)
			x := startFake(t, "x", n.registry.Addr(), func(string) (peer.Value, error) {
				return peer.Value{}, &peer.MisplacedError{Owner: "y"}
			})
			y := startFake(t, "y", n.registry.Addr(), func(key string) (peer.Value, error) {
				if there {
					return peer.Value{Data: []byte(key + " of y"), Keep: cache.Forever}, nil
				}
				return peer.Value{}, &peer.MisplacedError{Owner: "x"}
			})
			waitForFakes(t, n, 2)
			keys := keysOf(100)
			got, err := n.FetchMany(t.Context(), keys)
			require.NoError(t, err)
			require.Len(t, got, len(keys))
			byY := 0
			for key, v := range got {
				if v == key+" of y" {
					byY++
				}
			}
			if there {
				require.Len(t, x.requests(), 1)
				require.Len(t, y.requests(), 2, "once for those that it owns, and once for those of the hint")
				require.Equal(t, byY, y.requests()[0]+y.requests()[1])
				require.Zero(t, n.Stats().LocalLoads)
				require.EqualValues(t, 100-byY, from.total.Load())
				return
			}
			require.Len(t, x.requests(), 2)
			require.Len(t, y.requests(), 2)
			require.Zero(t, byY)
			require.EqualValues(t, 100, from.total.Load())
			require.EqualValues(t, x.requests()[0]+x.requests()[1], n.Stats().LocalLoads)
		})
	}
}

// Each key of a batch has its own outcome, and its copy is kept as long as the owner keeps it.
func TestOutcomesOfManyKeys(t *testing.T) {
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) {
		o.MaxValue, o.Cache.StaleFor = 1000, time.Hour
	})
	var keys []string // those of the fake
	kinds := []string{"ever", "short", "unkept", "stale", "busy", "large", "none", "fails"}
	startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		v := peer.Value{Data: []byte(key + " of x"), Keep: cache.Forever}
		for i, k := range keys {
			if k != key {
				continue
			}
			switch kinds[i%len(kinds)] {
			case "short":
				v.Keep = 200 * time.Millisecond
			case "unkept":
				v.Keep = 0
			case "stale":
				v.Keep = -time.Minute
			case "busy":
				return v, peer.ErrBusy
			case "large":
				v.Data = make([]byte, 1001)
			case "none":
				return v, cache.ErrNotFound
			case "fails":
				return v, errOrigin
			}
		}
		return v, nil
	})
	waitForFakes(t, n, 1)
	for i := range 200 { // probe: what is not loaded here is of the fake
		key := fmt.Sprint("probe", i)
		before := from.total.Load()
		v, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
		if from.total.Load() == before && v == key+" of x" {
			keys = append(keys, key)
		}
	}
	require.Greater(t, len(keys), 2*len(kinds))
	keys = keys[:2*len(kinds)]
	_ = n.Clear(t.Context()) // which the fake does not confirm

	got, err := n.FetchMany(t.Context(), keys)
	began := time.Now()
	var many *cache.ManyError[string]
	require.ErrorAs(t, err, &many)
	require.Len(t, many.ByKey, 2)
	for i, key := range keys {
		v, ok := got[key]
		_, copied := n.Get(key)
		kind := kinds[i%len(kinds)]
		switch kind {
		case "ever", "short":
			require.Equal(t, key+" of x", v)
			if kind == "ever" || time.Since(began) < 100*time.Millisecond {
				require.True(t, copied, kind)
			}
		case "unkept", "stale":
			require.Equal(t, key+" of x", v)
			require.False(t, copied, kind)
		case "busy", "large":
			require.Equal(t, key+"#1", v, "loaded here")
			require.True(t, copied, kind)
		case "none":
			require.False(t, ok)
			require.NotContains(t, many.ByKey, key)
		case "fails":
			require.False(t, ok)
			require.ErrorContains(t, many.ByKey[key], errOrigin.Error())
		}
	}
	require.EqualValues(t, 4, n.Stats().LocalLoads)
	require.Eventually(t, func() bool {
		_, ok := n.Get(keys[1])
		return !ok
	}, 20*time.Second, time.Millisecond, "as long as the owner keeps it, though CopyTTL is an hour")
	_, ok := n.Get(keys[0])
	require.True(t, ok)
}
