package cacheprom_test

import (
	"context"
	"fmt"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cacheprom"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/snapshotprom/snapshottest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fake has the numbers that a test wants.
type fake struct {
	stats   func() cache.Stats
	entries int
	courier.Courier[string, int]
}

func (f *fake) Stats() cache.Stats         { return f.stats() }
func (f *fake) Len() int                   { return f.entries }
func (f *fake) Inspect() courier.Inspector { return &f.Courier }

func TestAllIsShown(t *testing.T) {
	snapshottest.Fields(t, cache.Stats{}, func(stats func() cache.Stats) prometheus.Collector {
		return cacheprom.New("users", &fake{stats: stats})
	}, "Courier.Panics") // shown as Panics
}

// Each count is exported under its own name, and there are no other metrics.
func TestNames(t *testing.T) {
	var s cache.Stats
	n := uint64(0)
	for _, v := range []reflect.Value{reflect.ValueOf(&s).Elem(), reflect.ValueOf(&s.Courier).Elem()} {
		for i := range v.NumField() {
			n++
			if f := v.Field(i); f.CanUint() {
				f.SetUint(n)
			} else if f.CanInt() {
				f.SetInt(int64(n)) //nolint:gosec // small
			}
		}
	}
	want := map[string]uint64{
		"hits_total": s.Hits, "misses_total": s.Misses, "stale_total": s.Stale,
		"not_found_total":      s.NotFound,
		"not_found_hits_total": s.NotFoundHits, "loads_total": s.Loads, "load_errors_total": s.LoadErrors,
		"load_panics_total": s.Panics, "refreshes_total": s.Refreshes, "evictions_total": s.Evictions,
		"expired_total": s.Expired, "shed_total": s.Shed, "rejected_total": s.Rejected,
		"callback_panics_total":   s.CallbackPanics,
		"callbacks_dropped_total": s.CallbacksDropped,
		"second_hits_total":       s.SecondHits,
		"second_stale_total":      s.SecondStale,
		"second_misses_total":     s.SecondMisses,
		"second_writes_total":     s.SecondWrites,
		"second_errors_total":     s.SecondErrors,
		"second_rejected_total":   s.SecondRejected,
		"second_dropped_total":    s.SecondDropped,
		"flights_total":           s.Courier.Started, "flights_joined_total": s.Courier.Joined,
		"flights_timed_out_total": s.Courier.Timeouts, "flights_late_total": s.Courier.Late,
		"flights_deserted_total": s.Courier.Deserted,
		"goexits_total":          s.Courier.Goexits, "deadlocks_total": s.Courier.Deadlocks,
		"overloads_total": s.Courier.Overloads, "backed_off_total": s.Courier.BackedOff,
		"functions_abandoned_total": s.Courier.AbandonedTotal,
	}
	gauges := map[string]int{
		"entries": 1234, "stale_entries": s.StaleEntries, "not_found_keys": s.NotFoundKeys,
		"keys_resting":   0, // see TestPresentState
		"second_pending": s.SecondPending,
		"flights":        s.Courier.InFlight, "callers_waiting": s.Courier.Waiting,
		"functions_abandoned": s.Courier.Abandoned,
	}
	registry := prometheus.NewPedanticRegistry()
	source := &fake{stats: func() cache.Stats { return s }, entries: 1234}
	require.NoError(t, registry.Register(cacheprom.New("users", source)))
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, len(want)+len(gauges)+2)
	for _, f := range families {
		name := strings.TrimPrefix(f.GetName(), "snowfence_cache_")
		require.Len(t, f.GetMetric(), 1)
		require.NotEmpty(t, f.GetHelp())
		m := f.GetMetric()[0]
		switch {
		case m.Histogram != nil:
			require.Contains(t, []string{"load_duration_seconds", "wait_duration_seconds"}, name)
		case m.Counter != nil:
			require.Contains(t, want, name)
			require.EqualValues(t, want[name], m.GetCounter().GetValue(), name)
		default:
			require.Contains(t, gauges, name)
			require.EqualValues(t, gauges[name], m.GetGauge().GetValue(), name)
		}
	}
}

func TestValues(t *testing.T) {
	c, err := cache.New(cache.Options[string, int]{})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	for range 3 {
		_, err := c.Fetch(t.Context(), "a", func(context.Context, string) (int, error) { return 1, nil })
		require.NoError(t, err)
	}
	collector := cacheprom.New("users", c)
	require.NoError(t, testutil.CollectAndCompare(collector, strings.NewReader(`
# HELP snowfence_cache_entries Entries stored, including stale ones and expired ones not removed yet.
# TYPE snowfence_cache_entries gauge
snowfence_cache_entries{cache="users"} 1
# HELP snowfence_cache_hits_total Calls of Get and Fetch that found a fresh value; a batch for each key.
# TYPE snowfence_cache_hits_total counter
snowfence_cache_hits_total{cache="users"} 2
# HELP snowfence_cache_loads_total Keys for which a fetch function was called.
# TYPE snowfence_cache_loads_total counter
snowfence_cache_loads_total{cache="users"} 1
`), "snowfence_cache_entries", "snowfence_cache_hits_total", "snowfence_cache_loads_total"))
}

// A program with cacheprom links no cluster, and one without it links no metrics.
func TestDependencies(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool here")
	}
	const module = "github.com/snowfence/snowfence"
	linked := func(path string) string {
		//nolint:gosec // the go tool
		out, err := exec.CommandContext(t.Context(), tool, "list", "-deps", module+path).CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	require.NotContains(t, linked("/cache/cacheprom"), "memberlist")
	for _, path := range []string{"/cache", "/cache/cluster", "/registry"} {
		require.NotContains(t, linked(path), "prometheus")
		require.NotContains(t, linked(path), "opentelemetry")
	}
	require.Contains(t, linked("/cache/cacheprom"), "prometheus",
		"what is looked for is spelled right")
}

func ExampleNew() {
	users, err := cache.New(cache.Options[string, string]{})
	if err != nil {
		panic(err)
	}
	defer users.Close()
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(cacheprom.New("users", users))

	users.Set("42", "Ada")
	users.Get("42")
	users.Get("43")
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		switch m := f.GetMetric()[0]; f.GetName() {
		case "snowfence_cache_hits_total", "snowfence_cache_misses_total":
			fmt.Println(f.GetName(), m.GetCounter().GetValue())
		case "snowfence_cache_entries":
			fmt.Println(f.GetName(), m.GetGauge().GetValue())
		}
	}
	// Output:
	// snowfence_cache_entries 1
	// snowfence_cache_hits_total 1
	// snowfence_cache_misses_total 1
}
