package clusterprom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/internal/snapshotprom"
	"github.com/snowfence/snowfence/registry"
)

// NewRegistry returns a collector of the Stats of a registry. Partitions are added up, or the worst of them is shown. Its methods may
// be called at the same time.
func NewRegistry(r *registry.Registry) prometheus.Collector {
	return snapshotprom.New(r.Stats, nil, registryMetrics...)
}

const registryPrefix = "snowfence_registry_"

type names = registry.Stats

var registryMetrics = []snapshotprom.Metric[names]{
	snapshotprom.Gauge(registryPrefix+"names", "Names that have a holder.", func(s names) int { return s.Names }),
	snapshotprom.Gauge(registryPrefix+"registrations", "Names that this node holds.", func(s names) int { return s.Registrations }),
	snapshotprom.Gauge(registryPrefix+"members", "Nodes that are seen, this one included.", func(s names) int { return s.Members }),
	snapshotprom.Gauge(registryPrefix+"heap_bytes", "What the tables take, estimated.", func(s names) int { return int(s.HeapBytes) }), //nolint:gosec // memory fits
	snapshotprom.Gauge(registryPrefix+"queue_depth", "Changes that wait to be sent, in the fullest partition.", worst(func(p *registry.PartitionStats) int { return p.Queue })),
	{
		Name: registryPrefix + "queue_age_seconds", Help: "How long the oldest change has been waiting to be sent.", Kind: prometheus.GaugeValue,
		Each: func(s names, set func(float64, ...string)) {
			var age time.Duration
			for i := range s.Partitions {
				age = max(age, s.Partitions[i].QueueAge)
			}
			set(age.Seconds())
		},
	},
	snapshotprom.Gauge(registryPrefix+"callers_waiting", "Callers that wait for room in a queue.", func(s names) int {
		n := 0
		for i := range s.Partitions {
			n += s.Partitions[i].Waiting
		}
		return n
	}),
	sum("received_bytes_total", "Bytes of messages received.", func(p *registry.PartitionStats) uint64 { return p.ReceivedBytes }),
	sum("sent_bytes_total", "Bytes of messages sent.", func(p *registry.PartitionStats) uint64 { return p.SentBytes }),
	sum("gaps_total", "Updates before which something was missing.", func(p *registry.PartitionStats) uint64 { return p.Gaps }),
	sum("resyncs_total", "Times that the whole of a node's claims was fetched.", func(p *registry.PartitionStats) uint64 { return p.Resyncs }),
	sum("conflicts_total", "Names that two nodes had claimed.", func(p *registry.PartitionStats) uint64 { return p.Conflicts }),
	sum("lost_total", "Conflicts that cost this node its claim.", func(p *registry.PartitionStats) uint64 { return p.Lost }),
	sum("disagreements_total", "Conflicts that nodes settled differently: a resolver is wrong.", func(p *registry.PartitionStats) uint64 { return p.Disagreements }),
	sum("inbox_dropped_total", "Messages dropped for lack of room; they are asked for again.", func(p *registry.PartitionStats) uint64 { return p.InboxDropped }),
	snapshotprom.Counter(registryPrefix+"rejected_total", "Messages that could not be read.", func(s names) uint64 { return s.Rejected }),
	snapshotprom.Counter(registryPrefix+"refused_total", "Times that a node was kept out.", func(s names) uint64 { return s.Network.Refused }),
}

func sum(name, help string, value func(*registry.PartitionStats) uint64) snapshotprom.Metric[names] {
	return snapshotprom.Counter(registryPrefix+name, help, func(s names) (n uint64) {
		for i := range s.Partitions {
			n += value(&s.Partitions[i])
		}
		return n
	})
}

func worst(value func(*registry.PartitionStats) int) func(names) int {
	return func(s names) (most int) {
		for i := range s.Partitions {
			most = max(most, value(&s.Partitions[i]))
		}
		return most
	}
}
