package clusterprom_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/clusterprom"
	"github.com/snowfence/snowfence/internal/snapshotprom/snapshottest"
	"github.com/snowfence/snowfence/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAllIsShown(t *testing.T) {
	snapshottest.Fields(t, cluster.Stats{}, func(stats func() cluster.Stats) prometheus.Collector {
		return clusterprom.New("users", stats)
	}, "Peers", // see TestPeers
		"Owned.Hits", "Owned.Misses", "Owned.Loads", "Owned.LoadErrors", // counted by the cluster's cache, too
		"Owned.Panics", "Owned.Refreshes", "Owned.Evictions", "Owned.Expired", "Owned.Rejected", "Owned.CallbackPanics",
		"Owned.Courier.Started", "Owned.Courier.Joined", "Owned.Courier.Panics", "Owned.Courier.Goexits", "Owned.Courier.Timeouts",
		"Owned.Courier.Deserted", "Owned.Courier.Deadlocks", "Owned.Courier.Overloads", "Owned.Courier.BackedOff",
		"Owned.Courier.AbandonedTotal", "Owned.Courier.InFlight", // for those: cacheprom over Stats().Owned
		"Copies.Hits", "Copies.Misses", "Copies.Loads", "Copies.LoadErrors", "Copies.Panics", "Copies.Refreshes", "Copies.Evictions",
		"Copies.Expired", "Copies.Rejected", "Copies.CallbackPanics",
		"Copies.Courier.Started", "Copies.Courier.Joined", "Copies.Courier.Panics", "Copies.Courier.Goexits", "Copies.Courier.Timeouts",
		"Copies.Courier.Deserted", "Copies.Courier.Deadlocks", "Copies.Courier.Overloads", "Copies.Courier.BackedOff",
		"Copies.Courier.AbandonedTotal", "Copies.Courier.InFlight")
}

func TestPeers(t *testing.T) {
	collector := clusterprom.New("users", func() cluster.Stats {
		return cluster.Stats{
			AskFailures: cluster.AskFailures{Silent: 3},
			Peers: []cluster.PeerStats{
				{Node: "a", Breaker: "closed", Synced: true}, {Node: "b", Breaker: "open"}, {Node: "c", Differs: "slots are 8 there, 16 here"},
			},
		}
	})
	require.NoError(t, testutil.CollectAndCompare(collector, strings.NewReader(`
# HELP snowfence_cluster_peer_synced Whether another node has applied all deletes that are known here.
# TYPE snowfence_cluster_peer_synced gauge
snowfence_cluster_peer_synced{cache="users",peer="a"} 1
snowfence_cluster_peer_synced{cache="users",peer="b"} 0
# HELP snowfence_cluster_peer_up Whether another node is asked (1), or passed over since it failed several times (0).
# TYPE snowfence_cluster_peer_up gauge
snowfence_cluster_peer_up{cache="users",peer="a"} 1
snowfence_cluster_peer_up{cache="users",peer="b"} 0
# HELP snowfence_cluster_peers Other nodes of this cache.
# TYPE snowfence_cluster_peers gauge
snowfence_cluster_peers{cache="users"} 3
# HELP snowfence_cluster_peers_differing Other nodes that are never asked because they are configured otherwise.
# TYPE snowfence_cluster_peers_differing gauge
snowfence_cluster_peers_differing{cache="users"} 1
`), "snowfence_cluster_peer_synced", "snowfence_cluster_peer_up", "snowfence_cluster_peers", "snowfence_cluster_peers_differing"))
	require.NoError(t, testutil.CollectAndCompare(collector, strings.NewReader(`
# HELP snowfence_cluster_ask_failures_total Requests that other nodes did not answer with a value or an error of Load, by reason.
# TYPE snowfence_cluster_ask_failures_total counter
snowfence_cluster_ask_failures_total{cache="users",reason="busy"} 0
snowfence_cluster_ask_failures_total{cache="users",reason="denied"} 0
snowfence_cluster_ask_failures_total{cache="users",reason="misplaced"} 0
snowfence_cluster_ask_failures_total{cache="users",reason="other_version"} 0
snowfence_cluster_ask_failures_total{cache="users",reason="passed_over"} 0
snowfence_cluster_ask_failures_total{cache="users",reason="rubbish"} 0
snowfence_cluster_ask_failures_total{cache="users",reason="silent"} 3
snowfence_cluster_ask_failures_total{cache="users",reason="unreachable"} 0
`), "snowfence_cluster_ask_failures_total"))
}

func TestRegistry(t *testing.T) {
	r, err := registry.Open(t.Context(), registry.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	for i := range 5 {
		_, err := r.Register(t.Context(), fmt.Sprint("name", i), nil)
		require.NoError(t, err)
	}
	collector := clusterprom.NewRegistry(r)
	snapshottest.Text(t, collector)
	require.NoError(t, testutil.CollectAndCompare(collector, strings.NewReader(`
# HELP snowfence_registry_members Nodes that are seen, this one included.
# TYPE snowfence_registry_members gauge
snowfence_registry_members 1
# HELP snowfence_registry_registrations Names that this node holds.
# TYPE snowfence_registry_registrations gauge
snowfence_registry_registrations 5
`), "snowfence_registry_members", "snowfence_registry_registrations"))
}

func Example() {
	names, err := registry.Open(context.Background(), registry.Config{})
	if err != nil {
		panic(err)
	}
	defer names.Close()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(clusterprom.NewRegistry(names)) // and clusterprom.New("users", users.Stats)
	n, err := testutil.GatherAndCount(metrics, "snowfence_registry_members")
	fmt.Println(n, err)
	// Output: 1 <nil>
}
