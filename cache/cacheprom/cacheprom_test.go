package cacheprom_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cacheprom"
	"github.com/snowfence/snowfence/internal/snapshotprom/snapshottest"
)

func TestAllIsShown(t *testing.T) {
	snapshottest.Fields(t, cache.Stats{}, func(stats func() cache.Stats) prometheus.Collector {
		return cacheprom.New("users", stats, func() int { return 0 })
	}, "Courier.Panics") // shown as Panics
}

func TestValues(t *testing.T) {
	c, err := cache.New(cache.Options[string, int]{})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	for range 3 {
		_, err := c.Fetch(t.Context(), "a", func(context.Context, string) (int, error) { return 1, nil })
		require.NoError(t, err)
	}
	collector := cacheprom.New("users", c.Stats, c.Len)
	require.NoError(t, testutil.CollectAndCompare(collector, strings.NewReader(`
# HELP snowfence_cache_entries Entries that are stored.
# TYPE snowfence_cache_entries gauge
snowfence_cache_entries{cache="users"} 1
# HELP snowfence_cache_hits_total Gets and fetches that found a value.
# TYPE snowfence_cache_hits_total counter
snowfence_cache_hits_total{cache="users"} 2
# HELP snowfence_cache_loads_total Fetch functions called.
# TYPE snowfence_cache_loads_total counter
snowfence_cache_loads_total{cache="users"} 1
`), "snowfence_cache_entries", "snowfence_cache_hits_total", "snowfence_cache_loads_total"))
}

// Whoever shows a cache to Prometheus links no cluster.
func TestDependencies(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool here")
	}
	const module = "github.com/snowfence/snowfence"
	linked := func(path string) string {
		out, err := exec.CommandContext(t.Context(), tool, "list", "-deps", module+path).CombinedOutput() //nolint:gosec // the go tool
		require.NoError(t, err, string(out))
		return string(out)
	}
	require.NotContains(t, linked("/cache/cacheprom"), "memberlist")
	for _, path := range []string{"/cache/cluster", "/registry"} {
		require.NotContains(t, linked(path), "prometheus/client_golang")
		require.NotContains(t, linked(path), "opentelemetry")
	}
}

func ExampleNew() {
	c, err := cache.New(cache.Options[string, string]{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(cacheprom.New("users", c.Stats, c.Len))

	c.Set("42", "Ada")
	n, err := testutil.GatherAndCount(registry, "snowfence_cache_entries")
	fmt.Println(n, err)
	// Output: 1 <nil>
}
