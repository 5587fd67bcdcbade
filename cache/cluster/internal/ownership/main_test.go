package ownership

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/leak"
	"github.com/snowfence/snowfence/registry"
)

func TestMain(m *testing.M) { leak.Main(m) }

const patience = 20 * time.Second

// openRegistry opens a node of its own or of the cluster of a seed.
func openRegistry(tb testing.TB, name string, seeds ...string) *registry.Registry {
	tb.Helper()
	r, err := registry.Open(tb.Context(), registry.Config{
		NodeName: name, Seeds: seeds,
		ProbeInterval: 200 * time.Millisecond, ProbeTimeout: 100 * time.Millisecond,
	})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, r.Close()) })
	return r
}

// openOwners opens Owners on a registry. They are closed with the test.
func openOwners[U Owners](tb testing.TB, open func(Config) U, c Config) U {
	tb.Helper()
	r, ok := c.Registry.(interface{ NodeName() string })
	require.True(tb, ok)
	c.Self, c.Cache = r.NodeName(), "test"
	c.IdleRelease = cmp.Or(c.IdleRelease, 30*time.Second)
	c.Slots = cmp.Or(c.Slots, 1024)
	c.Settle, c.Round = cmp.Or(c.Settle, time.Second), cmp.Or(c.Round, time.Second)
	c.Logger = slog.New(slog.DiscardHandler)
	if c.Has == nil {
		c.Has = new(entries).has
	}
	if c.Keys == nil {
		c.Keys = func(func(string) bool) {}
	}
	if c.Lost == nil {
		c.Lost = func(string) {}
	}
	u := open(c)
	tb.Cleanup(func() { require.NoError(tb, u.Close(context.Background())) })
	return u
}

// entries holds the entries of a node.
type entries struct {
	mu   sync.Mutex // guards keys
	keys map[string]bool
}

func (e *entries) has(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.keys[key]
}

// set sets whether there are entries for keys, and calls Changed.
func (e *entries) set(u Owners, there bool, keys ...string) {
	for _, key := range keys {
		e.mu.Lock()
		if e.keys == nil {
			e.keys = make(map[string]bool)
		}
		e.keys[key] = there
		e.mu.Unlock()
		u.Changed(key)
	}
}

// all calls yield for each key.
func (e *entries) all(yield func(string) bool) {
	e.mu.Lock()
	keys := maps.Clone(e.keys)
	e.mu.Unlock()
	for key, there := range keys {
		if there && !yield(key) {
			return
		}
	}
}

func soon(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	require.Eventually(tb, is, patience, 2*time.Millisecond, what)
}

// bubble runs f with a registry of one node, without sockets, in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T, r *gated)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := registry.Open(t.Context(), registry.Config{
			NodeName: "a", Partitions: 1, Transport: new(memberlist.MockNetwork).NewTransport("a"),
		})
		require.NoError(t, err)
		defer func() { require.NoError(t, r.Close()) }()
		f(t, &gated{Registry: r})
	})
}

// gated is a registry that can be made to wait, as one whose queues are full, and whose answers can
// be set.
type gated struct {
	*registry.Registry
	registers      atomic.Int64                  // calls of Register
	shut           atomic.Pointer[chan struct{}] // Register waits for it
	ignoresContext atomic.Bool                   // Register ignores the end of its context
	// The result of Lookup, if it is set.
	lookup atomic.Pointer[func(name string) (claim registry.Claim, ok bool)]
}

// jam makes Register wait until open is called.
func (g *gated) jam() (open func()) {
	gate := make(chan struct{})
	g.shut.Store(&gate)
	return func() {
		g.shut.Store(nil)
		close(gate)
	}
}

func (g *gated) Register(
	ctx context.Context, name string, meta []byte,
) (*registry.Registration, error) {
	g.registers.Add(1)
	if g.ignoresContext.Load() {
		ctx = context.WithoutCancel(ctx)
	}
	if gate := g.shut.Load(); gate != nil {
		select {
		case <-*gate:
		case <-ctx.Done():
			return nil, &registry.OverloadedError{Name: name, Err: context.Cause(ctx)}
		}
	}
	return g.Registry.Register(ctx, name, meta)
}

func (g *gated) Lookup(name string) (registry.Claim, bool) {
	if f := g.lookup.Load(); f != nil {
		return (*f)(name)
	}
	return g.Registry.Lookup(name)
}
