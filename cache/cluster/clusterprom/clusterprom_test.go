package clusterprom_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/clusterprom"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/leak"
	"github.com/snowfence/snowfence/internal/snapshotprom/snapshottest"
	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/registryprom"
)

// users has the constant labels of the collectors here.
var users = prometheus.Labels{"cache": "users"}

func TestMain(m *testing.M) { leak.Main(m) }

// A fake has the Stats that a test wants, and an Inspector that shows nothing.
type fake struct {
	stats func() cluster.Stats
	courier.Courier[string, int]
}

func (f *fake) Stats() cluster.Stats       { return f.stats() }
func (f *fake) Inspect() courier.Inspector { return &f.Courier }

func of(stats func() cluster.Stats) *fake { return &fake{stats: stats} }

func TestAllIsShown(t *testing.T) {
	leftOut := []string{
		"Peers", // see TestPeers

		// Counted by the cluster's cache, too.
		"Store.Hits", "Store.Misses", "Store.Loads", "Store.LoadErrors", "Store.Stale",
	}
	for _, field := range []string{ // for those: cacheprom over Stats().Store
		"Started", "Joined", "Panics", "Goexits", "Timeouts", "Late", "Deserted", "Deadlocks",
		"Overloads", "BackedOff",
		"AbandonedTotal", "InFlight",
	} {
		leftOut = append(leftOut, "Store.Courier."+field)
	}
	snapshottest.Fields(t, cluster.Stats{}, func(stats func() cluster.Stats) prometheus.Collector {
		return clusterprom.New("users", of(stats))
	}, leftOut...)
}

// Each count is shown under its own name, and there is no metric besides these.
func TestValues(t *testing.T) {
	var s cluster.Stats
	snapshottest.Number(reflect.ValueOf(&s).Elem(), new(int))
	s.Peers = []cluster.PeerStats{{Node: "a", Breaker: "closed", Synced: true}}
	require.Equal(t, map[string]float64{
		"hits_total": float64(s.Hits), "misses_total": float64(s.Misses),
		"stale_total":                             float64(s.Stale),
		"not_found_total":                         float64(s.Store.NotFound),
		"not_found_hits_total":                    float64(s.Store.NotFoundHits),
		"second_hits_total":                       float64(s.Store.SecondHits),
		"second_stale_total":                      float64(s.Store.SecondStale),
		"second_misses_total":                     float64(s.Store.SecondMisses),
		"second_writes_total":                     float64(s.Store.SecondWrites),
		"second_errors_total":                     float64(s.Store.SecondErrors),
		"second_rejected_total":                   float64(s.Store.SecondRejected),
		"second_dropped_total":                    float64(s.Store.SecondDropped),
		"second_pending":                          float64(s.Store.SecondPending),
		"loads_total":                             float64(s.Loads),
		"load_errors_total":                       float64(s.LoadErrors),
		"local_loads_total":                       float64(s.LocalLoads),
		"load_panics_total":                       float64(s.Store.Panics),
		"refreshes_total":                         float64(s.Store.Refreshes),
		"callback_panics_total":                   float64(s.Store.CallbackPanics),
		"callbacks_dropped_total":                 float64(s.Store.CallbacksDropped),
		"asked_total":                             float64(s.Asked),
		"ask_failures_total reason=silent":        float64(s.AskFailures.Silent),
		"ask_failures_total reason=unreachable":   float64(s.AskFailures.Unreachable),
		"ask_failures_total reason=busy":          float64(s.AskFailures.Busy),
		"ask_failures_total reason=misplaced":     float64(s.AskFailures.Misplaced),
		"ask_failures_total reason=rubbish":       float64(s.AskFailures.Rubbish),
		"ask_failures_total reason=other_version": float64(s.AskFailures.OtherVersion),
		"ask_failures_total reason=denied":        float64(s.AskFailures.Denied),
		"ask_failures_total reason=no_life_signs": float64(s.AskFailures.NoLifeSigns),
		"ask_failures_total reason=unsendable":    float64(s.AskFailures.Unsendable),
		"ask_failures_total reason=wrong_path":    float64(s.AskFailures.WrongPath),
		"ask_failures_total reason=other_service": float64(s.AskFailures.OtherService),
		"ask_failures_total reason=tls_mismatch":  float64(s.AskFailures.TLSMismatch),
		"ask_failures_total reason=wrong_cache":   float64(s.AskFailures.WrongCache),
		"ask_failures_total reason=wrong_node":    float64(s.AskFailures.WrongNode),
		"ask_failures_total reason=passed_over":   float64(s.AskFailures.PassedOver),
		"served_total":                            float64(s.Served),
		"served_errors_total":                     float64(s.ServedErrors),
		"refused_total reason=busy":               float64(s.Refused.Busy),
		"refused_total reason=misplaced":          float64(s.Refused.Misplaced),
		"refused_total reason=unsendable":         float64(s.Refused.Unsendable),
		"refused_total reason=unauthenticated":    float64(s.Refused.Unauthenticated),
		"refused_total reason=malformed":          float64(s.Refused.Malformed),
		"refused_total reason=other_version":      float64(s.Refused.OtherVersion),
		"suspects":                                float64(s.Suspects),
		"quarantined":                             float64(s.Quarantined),
		"trials_total":                            float64(s.Trials),
		"names_held":                              float64(s.Held),
		"names_claimed_total":                     float64(s.Claimed),
		"names_released_total":                    float64(s.Released),
		"names_lost_total":                        float64(s.Lost),
		"deletes_total":                           float64(s.Deletes),
		"deletes_applied_total":                   float64(s.DeletesApplied),
		"resets_total":                            float64(s.Resets),
		"entries":                                 float64(s.Entries),
		"copies":                                  float64(s.Copies),
		"evictions_total":                         float64(s.Store.Evictions),
		"expired_total":                           float64(s.Store.Expired),
		"shed_total":                              float64(s.Store.Shed),
		"rejected_total":                          float64(s.Store.Rejected),
		"callers_waiting":                         float64(s.Store.Courier.Waiting),
		"functions_abandoned":                     float64(s.Store.Courier.Abandoned),
		"peers":                                   1, "peers_differing": 0, "peer_up peer=a": 1,
		"peer_synced peer=a": 1,
		"stale_entries":      float64(s.Store.StaleEntries),
		"not_found_keys":     float64(s.Store.NotFoundKeys),
		"keys_resting":       0, // see TestLoads
		"load_duration_seconds outcome=value count": 0,
		"wait_duration_seconds count":               0,
	}, snapshottest.Values(t, clusterprom.New("users", of(func() cluster.Stats { return s })),
		"snowfence_cluster_", users))
}

func TestPeers(t *testing.T) {
	require.Equal(t, 6, reflect.TypeFor[cluster.PeerStats]().NumField(),
		"a new field: show it, or say here why not")
	// URL identifies a member as Node does, and is longer. The log has Differs and Failure; the metric
	// is the number of members that differ.
	collector := clusterprom.New("users", of(func() cluster.Stats {
		return cluster.Stats{Peers: []cluster.PeerStats{
			{Node: "a", Breaker: "closed", Synced: true},
			{Node: "b", Breaker: "open"},
			{Node: "c", Differs: "slots are 8 there, 16 here"},
			{Node: "d", Breaker: "half-open", Synced: true},
			{Node: "\xff", Breaker: "closed"}, // not UTF-8, which would make the whole scrape fail
		}}
	}))
	all := snapshottest.Values(t, collector, "snowfence_cluster_peer", users)
	require.Equal(t, map[string]float64{
		"s": 5, "s_differing": 1,
		"_up peer=a": 1, "_up peer=b": 0, "_up peer=d": 0, `_up peer="\xff"`: 1,
		"_synced peer=a": 1, "_synced peer=b": 0, "_synced peer=d": 1, `_synced peer="\xff"`: 0,
	}, all)
}

// Durations and resting keys come from what Inspect returns.
func TestLoads(t *testing.T) {
	c := &backingOff{courier.New[string, int](courier.WithBackoff(time.Hour, time.Hour))}
	_, _, err := c.Do(t.Context(), "a", func(context.Context) (int, error) { return 1, nil })
	require.NoError(t, err)
	for range 2 {
		_, _, err = c.Do(t.Context(), "b", func(context.Context) (int, error) {
			return 0, errors.New("down")
		})
		require.Error(t, err)
	}
	all := snapshottest.Values(t, clusterprom.New("users", c), "snowfence_cluster_", users)
	require.Equal(t, map[string]float64{
		"keys_resting": 1, "load_duration_seconds outcome=value count": 1,
		"load_duration_seconds outcome=error count": 1, "wait_duration_seconds count": 2,
	}, map[string]float64{
		"keys_resting": all["keys_resting"],
		"load_duration_seconds outcome=value count": all["load_duration_seconds outcome=value count"],
		"load_duration_seconds outcome=error count": all["load_duration_seconds outcome=error count"],
		"wait_duration_seconds count":               all["wait_duration_seconds count"],
	})
}

type backingOff struct{ *courier.Courier[string, int] }

func (*backingOff) Stats() cluster.Stats         { return cluster.Stats{} }
func (c *backingOff) Inspect() courier.Inspector { return c.Courier }

func Example() {
	ctx := context.Background()
	names, err := registry.Open(ctx, registry.Config{NodeName: "web-1"})
	if err != nil {
		panic(err)
	}
	defer names.Close()
	users, err := cluster.New(cluster.Options[string]{
		Registry: names,
		URL:      "http://127.0.0.1:8080/_cache",
		Load:     func(_ context.Context, key string) (string, error) { return "the user " + key, nil },
	})
	if err != nil {
		panic(err)
	}
	defer users.Close()

	metrics := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	metrics.MustRegister(clusterprom.New("users", users), registryprom.New(names.Stats))

	_, err1 := users.Fetch(ctx, "42")
	_, err2 := users.Fetch(ctx, "42")
	families, err3 := metrics.Gather()
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err)
	}
	for _, f := range families {
		switch m := f.GetMetric()[0]; f.GetName() {
		case "snowfence_cluster_hits_total", "snowfence_cluster_loads_total":
			fmt.Println(f.GetName(), m.GetCounter().GetValue())
		case "snowfence_registry_members":
			fmt.Println(f.GetName(), m.GetGauge().GetValue())
		}
	}
	// Output:
	// snowfence_cluster_hits_total 1
	// snowfence_cluster_loads_total 1
	// snowfence_registry_members 1
}
