package clusterprom_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster/clusterprom"
	"github.com/snowfence/snowfence/internal/snapshotprom/snapshottest"
	"github.com/snowfence/snowfence/registry"
)

func TestAllOfTheRegistryIsShown(t *testing.T) {
	snapshottest.Fields(t, registry.Stats{}, clusterprom.NewRegistry,
		"Partitions",                                     // below
		"Network.BroadcastHigh", "Network.PeerQueueHigh") // Prometheus knows the highest of what it has seen
	snapshottest.Fields(t, registry.PartitionStats{}, func(stats func() registry.PartitionStats) prometheus.Collector {
		return clusterprom.NewRegistry(func() registry.Stats {
			return registry.Stats{Partitions: []registry.PartitionStats{{}, stats(), {}}}
		})
	}, "Registrations", // the sum of them is shown
		"QueueHigh", "InboxHigh") // as above
}

// Each count is shown under its own name, and there is no metric besides these.
func TestRegistryValues(t *testing.T) {
	var s registry.Stats
	var a, b registry.PartitionStats
	last := 0
	for _, v := range []any{&s, &a, &b} { // so all numbers of b are larger than those of a
		number(reflect.ValueOf(v).Elem(), &last)
	}
	a.QueueAge, b.QueueAge, s.Clock.Ahead = 3*time.Second, 2*time.Second, time.Millisecond
	s.Partitions = []registry.PartitionStats{a, b}
	n := s.Network
	require.Equal(t, map[string]float64{
		"names": float64(s.Names), "registrations": float64(s.Registrations), "members": float64(s.Members),
		"heap_bytes": float64(s.HeapBytes), "rejected_total": float64(s.Rejected),
		"clock_refused_total": float64(s.Clock.Refused), "clock_clamps_total": float64(s.Clock.Clamps), "clock_ahead_seconds": 0.001,

		"partition_names": float64(b.Names), "queue_depth": float64(b.Queue), "queue_age_seconds": 3, "inbox_depth": float64(b.Inbox),
		"callers_waiting": float64(a.Waiting + b.Waiting), "tombstones": float64(a.Tombstones + b.Tombstones),
		"messages_received_total kind=update":  float64(a.Received.Updates + b.Received.Updates),
		"messages_received_total kind=summary": float64(a.Received.Summaries + b.Received.Summaries),
		"messages_received_total kind=vector":  float64(a.Received.Vectors + b.Received.Vectors),
		"messages_received_total kind=pull":    float64(a.Received.Pulls + b.Received.Pulls),
		"messages_received_total kind=chunk":   float64(a.Received.Chunks + b.Received.Chunks),
		"messages_sent_total kind=update":      float64(a.Sent.Updates + b.Sent.Updates),
		"messages_sent_total kind=summary":     float64(a.Sent.Summaries + b.Sent.Summaries),
		"messages_sent_total kind=vector":      float64(a.Sent.Vectors + b.Sent.Vectors),
		"messages_sent_total kind=pull":        float64(a.Sent.Pulls + b.Sent.Pulls),
		"messages_sent_total kind=chunk":       float64(a.Sent.Chunks + b.Sent.Chunks),
		"received_bytes_total":                 float64(a.ReceivedBytes + b.ReceivedBytes),
		"sent_bytes_total":                     float64(a.SentBytes + b.SentBytes),
		"inbox_dropped_total":                  float64(a.InboxDropped + b.InboxDropped),
		"gaps_total":                           float64(a.Gaps + b.Gaps),
		"pulls_total":                          float64(a.Pulls + b.Pulls),
		"pull_timeouts_total":                  float64(a.PullTimeouts + b.PullTimeouts),
		"resyncs_total":                        float64(a.Resyncs + b.Resyncs),
		"conflicts_total":                      float64(a.Conflicts + b.Conflicts),
		"lost_total":                           float64(a.Lost + b.Lost),
		"disagreements_total":                  float64(a.Disagreements + b.Disagreements),
		"refutations_total":                    float64(a.Refutations + b.Refutations),
		"ignored_total":                        float64(a.Ignored + b.Ignored),

		"frames_received_total path=gossip":         float64(n.Gossip.FramesIn),
		"frames_received_total path=reliable":       float64(n.Reliable.FramesIn),
		"frames_received_total path=packets":        float64(n.Packets.FramesIn),
		"frames_sent_total path=gossip":             float64(n.Gossip.FramesOut),
		"frames_sent_total path=reliable":           float64(n.Reliable.FramesOut),
		"frames_sent_total path=packets":            float64(n.Packets.FramesOut),
		"frames_received_bytes_total path=gossip":   float64(n.Gossip.BytesIn),
		"frames_received_bytes_total path=reliable": float64(n.Reliable.BytesIn),
		"frames_received_bytes_total path=packets":  float64(n.Packets.BytesIn),
		"frames_sent_bytes_total path=gossip":       float64(n.Gossip.BytesOut),
		"frames_sent_bytes_total path=reliable":     float64(n.Reliable.BytesOut),
		"frames_sent_bytes_total path=packets":      float64(n.Packets.BytesOut),
		"frames_rejected_total":                     float64(n.Rejected),
		"refused_total":                             float64(n.Refused),
		"strangers_total":                           float64(n.Strangers),
		"unsent_total":                              float64(n.Unsent),
		"sends_failed_total":                        float64(n.SendsFailed),
		"gossip_full_total":                         float64(n.BroadcastsFull),
		"gossip_depth":                              float64(n.BroadcastDepth),
		"peer_queue_items":                          float64(n.PeerQueueItems),
		"peer_queue_bytes":                          float64(n.PeerQueueBytes),
		"health_score":                              float64(n.HealthScore),
		"connections":                               float64(n.Connections),
		"nodes_lost":                                float64(n.Lost),
		"rejoin_attempts_total":                     float64(n.RejoinAttempts),
		"rejoins_total":                             float64(n.Rejoined),
	}, values(t, clusterprom.NewRegistry(func() registry.Stats { return s }), "snowfence_registry_"))
}

// What a registry in use says can be shown, and the number of series does not depend on what is in it.
func TestRegistryInUse(t *testing.T) {
	r, err := registry.Open(t.Context(), registry.Config{Partitions: 100})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	collector := clusterprom.NewRegistry(r.Stats)
	before := len(values(t, collector, ""))
	for i := range 500 {
		_, err := r.Register(t.Context(), fmt.Sprint("name", i), nil)
		require.NoError(t, err)
	}
	after := values(t, collector, "")
	require.Len(t, after, before)
	require.EqualValues(t, 500, after["snowfence_registry_names"])
	require.EqualValues(t, 500, after["snowfence_registry_registrations"])
	require.EqualValues(t, 1, after["snowfence_registry_members"])
	require.Greater(t, after["snowfence_registry_partition_names"], 4.0)
}
