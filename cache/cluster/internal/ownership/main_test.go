package ownership

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// openRegistry opens a node of its own or of the cluster of a seed.
func openRegistry(tb testing.TB, name string, seeds ...string) *registry.Registry {
	tb.Helper()
	r, err := registry.Open(tb.Context(), registry.Config{NodeName: name, Seeds: seeds, ProbeInterval: 200 * time.Millisecond, ProbeTimeout: 100 * time.Millisecond})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, r.Close()) })
	return r
}

// openUnits makes units of some kind on a registry, which are closed with the test.
func openUnits(tb testing.TB, kind func(Config) Units, c Config) Units {
	tb.Helper()
	r, ok := c.Registry.(interface{ NodeName() string })
	require.True(tb, ok)
	c.Self, c.Cache = r.NodeName(), "test"
	if c.Lost == nil {
		c.Lost = func(func(string) bool) {}
	}
	u := kind(c)
	tb.Cleanup(func() { require.NoError(tb, u.Close(context.Background())) })
	return u
}

func soon(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	require.Eventually(tb, is, patience, 2*time.Millisecond, what)
}
