package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
)

func requireHeld(t *testing.T, n *node, want int) {
	t.Helper()
	held := func() bool { return n.Stats().Held == want }
	require.Eventually(t, held, 20*time.Second, 5*time.Millisecond, "names held")
}

// idleRelease is longer than a busy machine takes from the claim of a name to the entry.
const idleRelease = 500 * time.Millisecond

// The names of keys that have left are released, whatever the user's callback does.
func TestNamesGoWithStuckCallback(t *testing.T) {
	var from origin
	release := make(chan struct{})
	n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.IdleRelease = idleRelease
		o.Cache = cache.Options[string, string]{
			Capacity: 2, OnEviction: func(string, string, cache.Reason) { <-release },
		}
	})[0]
	defer close(release)
	for i := range 20 {
		_, err := n.Fetch(t.Context(), fmt.Sprint("k", i))
		require.NoError(t, err)
	}
	requireHeld(t, n, 2)
}

// The name of a key whose new value can't be stored is released too.
func TestNameGoesWithTooHeavyValue(t *testing.T) {
	var from origin
	from.set(func(_ context.Context, _ string, n int) (string, error) {
		return strings.Repeat("v", n), nil
	})
	n := start(t, 1, &from, func(_ int, o *cluster.Options[string]) {
		o.IdleRelease = idleRelease
		o.Cache = cache.Options[string, string]{
			MaxWeight: 1, TTL: time.Hour, RefreshAt: 1e-7,
			Weigher: func(_, v string) uint32 { return uint32(len(v)) }, //nolint:gosec // small
		}
	})[0]
	_, err := n.Fetch(t.Context(), "k")
	require.NoError(t, err)
	requireHeld(t, n, 1)
	require.Eventually(t, func() bool { // until the entry has been refreshed
		_, _ = n.Fetch(t.Context(), "k")
		return n.Stats().Entries == 0
	}, 20*time.Second, 5*time.Millisecond)
	requireHeld(t, n, 0)
}
