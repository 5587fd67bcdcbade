package ownership

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// openRegistry opens a node of its own or of the cluster of a seed.
func openRegistry(tb testing.TB, name string, seeds ...string) *registry.Registry {
	tb.Helper()
	r, err := registry.Open(tb.Context(), registry.Config{
		NodeName: name, Seeds: seeds, ProbeInterval: 200 * time.Millisecond, ProbeTimeout: 100 * time.Millisecond,
	})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, r.Close()) })
	return r
}

// openUnits makes units of some kind on a registry, which are closed with the test.
func openUnits[U Units](tb testing.TB, newUnits func(Config) U, c Config) U {
	tb.Helper()
	r, ok := c.Registry.(interface{ NodeName() string })
	require.True(tb, ok)
	c.Self, c.Cache = r.NodeName(), "test"
	if c.ClaimTimeout == 0 {
		c.ClaimTimeout = patience // a test that gets no turn for a while is no registry without room
	}
	if c.Lost == nil {
		c.Lost = func(func(string) bool) {}
	}
	u := newUnits(c)
	tb.Cleanup(func() { require.NoError(tb, u.Close(context.Background())) })
	return u
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

// gated is a registry that can be made to wait, as one whose queues are full, and be told what to answer.
type gated struct {
	*registry.Registry
	registers atomic.Int64                                                      // calls of Register
	shut      atomic.Pointer[chan struct{}]                                     // Register waits for it
	deaf      atomic.Bool                                                       // Register does not mind the end of its context
	lookup    atomic.Pointer[func(name string) (claim registry.Claim, ok bool)] // in place of Lookup
}

// jam has Register wait until the result is called.
func (g *gated) jam() (open func()) {
	gate := make(chan struct{})
	g.shut.Store(&gate)
	return func() {
		g.shut.Store(nil)
		close(gate)
	}
}

func (g *gated) Register(ctx context.Context, name string, meta []byte) (*registry.Registration, error) {
	g.registers.Add(1)
	if g.deaf.Load() {
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
