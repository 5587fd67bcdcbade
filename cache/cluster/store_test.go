package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// versions is an origin whose value of each key is the number of its changes. A load returns the
// value as of its beginning, also if it is held up.
type versions struct {
	now  atomic.Int64
	gate atomic.Pointer[loadGate]
}

type loadGate struct{ began, open chan struct{} }

// hold holds up loads that begin from now on, until release.
func (v *versions) hold() *loadGate {
	g := &loadGate{make(chan struct{}, 1000), make(chan struct{})}
	v.gate.Store(g)
	return g
}

// free lets loads that begin from now on through.
func (v *versions) free() { v.gate.Store(nil) }

func (v *versions) load(ctx context.Context) (string, error) {
	now := v.now.Load()
	if g := v.gate.Load(); g != nil {
		g.began <- struct{}{}
		select {
		case <-g.open:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return strconv.FormatInt(now, 10), nil
}

func (v *versions) Load(ctx context.Context, _ string) (string, error) { return v.load(ctx) }

func (v *versions) LoadMany(ctx context.Context, keys []string) (map[string]string, error) {
	values := make(map[string]string, len(keys))
	s, err := v.load(ctx)
	for _, key := range keys {
		values[key] = s
	}
	return values, err
}

// value is the answer of an owner.
func (v *versions) value(keep time.Duration) (peer.Value, error) {
	s, err := v.load(context.Background())
	return peer.Value{Data: []byte(s), Keep: keep}, err
}

// picky is the codec of strings, but for one of them.
type picky struct{}

const rubbish = "rubbish"

func (picky) Name() string                    { return "string" }
func (picky) Encode(v string) ([]byte, error) { return []byte(v), nil }

func (picky) Decode(data []byte) (string, error) {
	if string(data) == rubbish {
		return "", errors.New("rubbish")
	}
	return string(data), nil
}

// A way is one in which a value can come to a node.
type way struct {
	answer func(v *versions) (peer.Value, error) // of the owner; nil if the node owns the key itself
	hinted func(v *versions) (peer.Value, error) // of the node that the owner names
	change func(o *cluster.Options[string])
	dead   bool                      // the owner's server is closed
	behind bool                      // Fetch does not wait for the load that it begins
	fetch  func(n *node, key string) // begins the load instead of Fetch; only its end counts
	stored func(n *node, key string) // what happens to an entry
}

func misplaced(owner string) func(*versions) (peer.Value, error) {
	return func(*versions) (peer.Value, error) {
		return peer.Value{}, &peer.MisplacedError{Owner: owner}
	}
}

func answers(data string, err error) func(*versions) (peer.Value, error) {
	return func(*versions) (peer.Value, error) { return peer.Value{Data: []byte(data)}, err }
}

func delivers(v *versions) (peer.Value, error) { return v.value(cache.Forever) }

var ways = map[string]way{
	"own load":               {},
	"asked":                  {answer: delivers},
	"asked, not to be kept":  {answer: func(v *versions) (peer.Value, error) { return v.value(0) }},
	"asked, a stale value":   {answer: func(v *versions) (peer.Value, error) { return v.value(-1) }},
	"hint followed":          {answer: misplaced("y"), hinted: delivers},
	"local, misplaced twice": {answer: misplaced("y"), hinted: misplaced("x")},
	"local, owner busy":      {answer: answers("", peer.ErrBusy)},
	"local, value too large": {answer: answers(string(make([]byte, 101)), nil)},
	"local, rubbish":         {answer: answers(rubbish, nil)},
	"local, owner is away":   {answer: delivers, dead: true},
	"local, one at a time": {answer: answers("", peer.ErrBusy),
		change: func(o *cluster.Options[string]) { o.MaxLocalLoads = 1 }},
	"copies are not kept": {answer: answers("", peer.ErrBusy),
		change: func(o *cluster.Options[string]) { o.CopyTTL = -1 }},
	"demoted":                {stored: func(n *node, key string) { n.Lose(key) }},
	"refreshed":              {change: refreshed, behind: true},
	"refreshed copy":         {answer: delivers, change: refreshed, behind: true},
	"refreshed, owner busy":  {answer: answers("", peer.ErrBusy), change: refreshed, behind: true},
	"served to another":      {fetch: serveOne},
	"served many to another": {fetch: serveMany},
	"served singly":          {fetch: serveMany, change: withoutMany},
	"many, own load":         {fetch: fetchMany},
	"many, singly":           {fetch: fetchMany, change: withoutMany},
	"many, asked":            {answer: delivers, fetch: fetchMany},
	"many, a stale value": {answer: func(v *versions) (peer.Value, error) { return v.value(-1) },
		fetch: fetchMany},
	"many, hint followed": {answer: misplaced("y"), hinted: delivers, fetch: fetchMany},
	"many, owner busy":    {answer: answers("", peer.ErrBusy), fetch: fetchMany},
	"many, busy and singly": {answer: answers("", peer.ErrBusy), fetch: fetchMany,
		change: withoutMany},
	"many, misplaced twice": {answer: misplaced("y"), hinted: misplaced("x"), fetch: fetchMany},
	"many, owner is away":   {answer: delivers, dead: true, fetch: fetchMany},
	"stale here, soft":      {change: staleSoon, behind: true},
	"stale here, owner stale": {answer: func(v *versions) (peer.Value, error) { return v.value(-1) },
		change: staleSoon, behind: true},
	"stale copy": {answer: delivers, change: staleSoon, behind: true},
}

func refreshed(o *cluster.Options[string]) { o.Cache.TTL, o.Cache.RefreshAt = time.Hour, 1e-12 }

func withoutMany(o *cluster.Options[string]) { o.LoadMany = nil }

func staleSoon(o *cluster.Options[string]) {
	o.Cache.TTL, o.Cache.StaleFor, o.Cache.SoftTimeout = time.Millisecond, time.Hour, time.Nanosecond
}

func fetchMany(n *node, key string) { _, _ = n.FetchMany(context.Background(), []string{key, key}) }

func serveOne(n *node, key string) {
	client := peer.NewClient(peerConfig("z", 7),
		peer.DefaultTransport(nil))
	defer client.Close()
	_, _ = client.Fetch(context.Background(), n.address, key, nil)
}

func serveMany(n *node, key string) {
	client := peer.NewClient(peerConfig("z", 7),
		peer.DefaultTransport(nil))
	defer client.Close()
	client.FetchMany(context.Background(), n.address, []peer.Ask{{Key: key}})
}

var changes = map[string]func(n *node, key string) error{
	"delete": func(n *node, key string) error { return n.Delete(context.Background(), key) },
	"clear":  func(n *node, _ string) error { return n.Clear(context.Background()) },
	"tag": func(n *node, key string) error {
		return n.InvalidateTag(context.Background(), "tag of "+key[:1])
	},
}

// A Fetch that begins after a Delete, InvalidateTag or Clear has returned never gets a value that
// was loaded before, in whatever way that value came, and whether it came before, during or after
// the change.
func TestNothingOfBefore(t *testing.T) {
	for name, w := range ways {
		for what, change := range changes {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				nothingOfBefore(t, w, change)
			})
		}
	}
}

func nothingOfBefore(t *testing.T, w way, change func(n *node, key string) error) {
	t.Helper()
	var v versions
	n, key := startWay(t, w, &v)
	begin := w.fetch
	if begin == nil {
		begin = func(n *node, key string) { _, _ = n.Fetch(context.Background(), key) }
	}
	changed := func() {
		t.Helper()
		v.now.Add(1)
		if err := change(n, key); err != nil { // fakes confirm nothing
			var unconfirmed *cluster.UnconfirmedError
			require.ErrorAs(t, err, &unconfirmed)
		}
	}
	requireNew := func(when string) {
		t.Helper()
		want := v.now.Load()
		got, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, strconv.FormatInt(want, 10), got, when)
		all, err := n.FetchMany(t.Context(), []string{key})
		require.NoError(t, err)
		require.Equal(t, strconv.FormatInt(want, 10), all[key], "many, "+when)
	}
	for range 3 {
		begin(n, key)
		if w.stored != nil {
			w.stored(n, key)
		}
		changed()
		requireNew("it was there before")

		if !w.behind {
			_ = n.Delete(t.Context(), key) // so that the next one loads it
		}
		g := v.hold()
		var began atomic.Bool
		var early sync.WaitGroup
		early.Go(func() {
			for !began.Load() { // a hit begins no load until it is due
				begin(n, key)
			}
		})
		<-g.began
		began.Store(true)
		v.free()
		changed()
		before := fetches(n)
		late := make(chan string, 2)
		go func() {
			got, err := n.Fetch(context.Background(), key)
			assert.NoError(t, err)
			late <- got
		}()
		go func() {
			got, err := n.FetchMany(context.Background(), []string{key})
			assert.NoError(t, err)
			late <- got[key]
		}()
		require.Eventually(t, func() bool { return fetches(n) >= before+2 }, 20*time.Second,
			100*time.Microsecond)
		close(g.open)
		for range cap(late) {
			require.Equal(t, strconv.FormatInt(v.now.Load(), 10), <-late, "loaded before, and there after")
		}
		early.Wait()
		requireNew("afterwards")
	}
}

// fetches returns how many calls of Fetch have begun.
func fetches(n *node) uint64 {
	s := n.Stats()
	return s.Hits + s.Misses
}

// startWay starts a node, and members that answer as w wants, and returns a key that comes in that
// way.
func startWay(t *testing.T, w way, v *versions) (n *node, key string) {
	t.Helper()
	n = start(t, 1, new(origin), func(_ int, o *cluster.Options[string]) {
		o.Ownership, o.Load, o.LoadMany = cluster.ByRing, v.Load, v.LoadMany
		o.CopyTTL, o.MaxValue, o.Codec, o.Cache.Tags = time.Hour, 100, picky{}, tagOf
		o.PeerTimeout = 10 * time.Second // a busy machine makes no owner silent
		if w.change != nil {
			w.change(o)
		}
	})[0]
	n.address = addressOf(t, n)
	if w.answer == nil {
		return n, "key"
	}
	x := startFake(t, "x", n.registry.Addr(), func(string) (peer.Value, error) { return w.answer(v) })
	members := 1
	if w.hinted != nil {
		startFake(t, "y", n.registry.Addr(), func(string) (peer.Value, error) { return w.hinted(v) })
		members++
	}
	waitForFakes(t, n, members)
	for i := 0; len(x.requests()) == 0; i++ {
		require.Less(t, i, 1000)
		key = fmt.Sprint("key", i)
		_, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
	}
	if w.dead {
		x.close()
	}
	return n, key
}
