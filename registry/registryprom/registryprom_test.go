package registryprom_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/leak"
	"github.com/snowfence/snowfence/internal/snapshotprom/snapshottest"
	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/registryprom"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestAllIsShown(t *testing.T) {
	snapshottest.Fields(t, registry.Stats{}, registryprom.New,
		"Partitions", // below
		// Prometheus computes maxima itself
		"Network.BroadcastHigh", "Network.PeerQueueHigh")
	snapshottest.Fields(t, registry.PartitionStats{},
		func(stats func() registry.PartitionStats) prometheus.Collector {
			return registryprom.New(func() registry.Stats {
				return registry.Stats{Partitions: []registry.PartitionStats{{}, stats(), {}}}
			})
		}, "Registrations", "Counts.Conflicts", // sums of exported values
		"QueueHigh", "InboxHigh") // as above
}

// Each count is exported under its own name, and there are no other metrics.
func TestValues(t *testing.T) {
	var s registry.Stats
	var a, b registry.PartitionStats
	last := 0
	for _, v := range []any{&s, &a, &b} { // so all numbers of b are larger than those of a
		snapshottest.Number(reflect.ValueOf(v).Elem(), &last)
	}
	a.QueueAge, b.QueueAge, s.Clock.Ahead = 3*time.Second, 2*time.Second, time.Millisecond
	s.Partitions = []registry.PartitionStats{a, b}
	n := s.Network
	require.Equal(t, map[string]float64{
		"names": float64(s.Names), "registrations": float64(s.Registrations),
		"members":    float64(s.Members),
		"heap_bytes": float64(s.HeapBytes), "rejected_total": float64(s.Rejected),
		"clock_refused_total": float64(s.Clock.Refused), "clock_clamps_total": float64(s.Clock.Clamps),
		"clock_ahead_seconds": 0.001,

		"partition_names": float64(b.Names), "inbox_depth": float64(b.Inbox),
		"queue_depth partition=0": float64(a.Queue), "queue_depth partition=1": float64(b.Queue),
		"queue_age_seconds partition=0": 3, "queue_age_seconds partition=1": 2,
		"callers_waiting":                       float64(a.Waiting + b.Waiting),
		"tombstones":                            float64(a.Tombstones + b.Tombstones),
		"messages_received_total kind=update":   float64(a.Received.Updates + b.Received.Updates),
		"messages_received_total kind=summary":  float64(a.Received.Summaries + b.Received.Summaries),
		"messages_received_total kind=vector":   float64(a.Received.Vectors + b.Received.Vectors),
		"messages_received_total kind=pull":     float64(a.Received.Pulls + b.Received.Pulls),
		"messages_received_total kind=chunk":    float64(a.Received.Chunks + b.Received.Chunks),
		"messages_received_total kind=check":    float64(a.Received.Checks + b.Received.Checks),
		"messages_received_total kind=standing": float64(a.Received.Standings + b.Received.Standings),
		"messages_sent_total kind=check":        float64(a.Sent.Checks + b.Sent.Checks),
		"messages_sent_total kind=standing":     float64(a.Sent.Standings + b.Sent.Standings),
		"syncing":                               float64(a.Syncing + b.Syncing),
		"served_records_total":                  float64(a.Served + b.Served),
		"messages_sent_total kind=update":       float64(a.Sent.Updates + b.Sent.Updates),
		"messages_sent_total kind=summary":      float64(a.Sent.Summaries + b.Sent.Summaries),
		"messages_sent_total kind=vector":       float64(a.Sent.Vectors + b.Sent.Vectors),
		"messages_sent_total kind=pull":         float64(a.Sent.Pulls + b.Sent.Pulls),
		"messages_sent_total kind=chunk":        float64(a.Sent.Chunks + b.Sent.Chunks),
		"received_bytes_total":                  float64(a.ReceivedBytes + b.ReceivedBytes),
		"sent_bytes_total":                      float64(a.SentBytes + b.SentBytes),
		"inbox_dropped_total":                   float64(a.InboxDropped + b.InboxDropped),
		"gaps_total":                            float64(a.Gaps + b.Gaps),
		"pulls_total":                           float64(a.Pulls + b.Pulls),
		"pull_timeouts_total":                   float64(a.PullTimeouts + b.PullTimeouts),
		"resyncs_total":                         float64(a.Resyncs + b.Resyncs),
		"conflicts_total outcome=kept":          float64(a.Kept + b.Kept),
		"conflicts_total outcome=lost":          float64(a.Lost + b.Lost),
		"conflicts_total outcome=elsewhere":     float64(a.Elsewhere + b.Elsewhere),
		"silent_holders_total":                  float64(a.Silent + b.Silent),
		"disagreements_total":                   float64(a.Disagreements + b.Disagreements),
		"refutations_total":                     float64(a.Refutations + b.Refutations),
		"ignored_total":                         float64(a.Ignored + b.Ignored),

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
	}, snapshottest.Values(t, registryprom.New(func() registry.Stats { return s }), "snowfence_registry_",
		nil))
}

// The number of series does not depend on the content of the registry, and is bounded.
func TestInUse(t *testing.T) {
	inUse := func(partitions int) {
		r, err := registry.Open(t.Context(), registry.Config{Partitions: partitions})
		require.NoError(t, err)
		defer func() { require.NoError(t, r.Close()) }()
		collector := registryprom.New(r.Stats)
		before := snapshottest.Values(t, collector, "", nil)
		require.Equal(t, partitions <= registryprom.MaxPartitions,
			len(before) > 2*registryprom.MaxPartitions)
		for i := range 500 {
			_, err := r.Register(t.Context(), fmt.Sprint("name", i), nil)
			require.NoError(t, err)
		}
		after := snapshottest.Values(t, collector, "", nil)
		require.Len(t, after, len(before))
		require.EqualValues(t, 500, after["snowfence_registry_names"])
		require.EqualValues(t, 500, after["snowfence_registry_registrations"])
		require.EqualValues(t, 1, after["snowfence_registry_members"])
		require.Greater(t, after["snowfence_registry_partition_names"], 4.0)
		require.Greater(t, after["snowfence_registry_heap_bytes"], 100_000.0)
	}
	inUse(registryprom.MaxPartitions)
	inUse(registryprom.MaxPartitions + 1)
}

// Of several partitions the worst is exported.
func TestWorstPartition(t *testing.T) {
	s := registry.Stats{Partitions: make([]registry.PartitionStats, registryprom.MaxPartitions+1)}
	s.Partitions[3].Queue, s.Partitions[5].Queue = 30, 50
	s.Partitions[3].QueueAge, s.Partitions[5].QueueAge = 3*time.Second, time.Second
	all := snapshottest.Values(t, registryprom.New(func() registry.Stats { return s }), "snowfence_registry_queue_",
		nil)
	require.Equal(t, map[string]float64{"depth partition=worst": 50, "age_seconds partition=worst": 3},
		all)
}

func Example() {
	names, err := registry.Open(context.Background(), registry.Config{NodeName: "web-1"})
	if err != nil {
		panic(err)
	}
	defer names.Close()
	metrics := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	metrics.MustRegister(registryprom.New(names.Stats))

	if _, err := names.Register(context.Background(), "mailer", nil); err != nil {
		panic(err)
	}
	families, err := metrics.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "snowfence_registry_members", "snowfence_registry_names":
			fmt.Println(f.GetName(), f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output:
	// snowfence_registry_members 1
	// snowfence_registry_names 1
}
