package clusterprom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/internal/snapshotprom"
	"github.com/snowfence/snowfence/registry"
)

// NewRegistry returns a collector of what stats returns, usually the method Stats of a registry. Partitions are added up, or the
// worst of them is shown. Its methods may be called at the same time.
//
// A program with several registries tells them apart with prometheus.WrapRegistererWith.
func NewRegistry(stats func() registry.Stats) prometheus.Collector {
	return snapshotprom.New(stats, nil, registryMetrics()...)
}

const registryPrefix = "snowfence_registry_"

type (
	names     = registry.Stats
	partition = registry.PartitionStats
)

func registryMetrics() []snapshotprom.Metric[names] {
	own := []snapshotprom.Metric[names]{
		registryGauge("names", "Names that have a holder.", func(s *names) int { return s.Names }),
		registryGauge("registrations", "Names that this node holds.", func(s *names) int { return s.Registrations }),
		registryGauge("members", "Nodes that are seen, this one included.", func(s *names) int { return s.Members }),
		registryGauge("heap_bytes", "What the tables take, estimated.", func(s *names) int { return int(s.HeapBytes) }), //nolint:gosec // memory fits
		registryCounter("rejected_total", "Messages that could not be read.", func(s *names) uint64 { return s.Rejected }),
		registryCounter("clock_refused_total", "Times of others that were too far ahead to be followed.", func(s *names) uint64 { return s.Clock.Refused }),
		registryCounter("clock_clamps_total", "Times that this node's clock was found to be too far ahead.", func(s *names) uint64 { return s.Clock.Clamps }),
		registrySeconds("clock_ahead_seconds", "By how much this node's clock is held back.", func(s *names) time.Duration { return s.Clock.Ahead }),
	}
	return append(append(own, partitionMetrics...), networkMetrics...)
}

var partitionMetrics = []snapshotprom.Metric[names]{
	worst("partition_names", "Names that have a holder, in the fullest partition.", func(p *partition) int { return p.Names }),
	worst("queue_depth", "Changes that wait to be sent, in the fullest partition.", func(p *partition) int { return p.Queue }),
	registrySeconds("queue_age_seconds", "How long the oldest change has been waiting to be sent.", func(s *names) (age time.Duration) {
		for i := range s.Partitions {
			age = max(age, s.Partitions[i].QueueAge)
		}
		return age
	}),
	worst("inbox_depth", "Messages that wait to be handled, in the fullest partition.", func(p *partition) int { return p.Inbox }),
	total("callers_waiting", "Callers that wait for room in a queue.", func(p *partition) int { return p.Waiting }),
	total("tombstones", "Names without a holder that are remembered.", func(p *partition) int { return p.Tombstones }),
	messages("messages_received_total", "Messages received, by kind.", func(p *partition) registry.Messages { return p.Received }),
	messages("messages_sent_total", "Messages sent, by kind.", func(p *partition) registry.Messages { return p.Sent }),
	sum("received_bytes_total", "Bytes of messages received.", func(p *partition) uint64 { return p.ReceivedBytes }),
	sum("sent_bytes_total", "Bytes of messages sent.", func(p *partition) uint64 { return p.SentBytes }),
	sum("inbox_dropped_total", "Messages dropped for lack of room; they are asked for again.", func(p *partition) uint64 { return p.InboxDropped }),
	sum("gaps_total", "Updates before which something was missing.", func(p *partition) uint64 { return p.Gaps }),
	sum("pulls_total", "Requests for what was missing.", func(p *partition) uint64 { return p.Pulls }),
	sum("pull_timeouts_total", "Such requests that were not answered in time.", func(p *partition) uint64 { return p.PullTimeouts }),
	sum("resyncs_total", "Times that the whole of a node's claims was fetched.", func(p *partition) uint64 { return p.Resyncs }),
	sum("conflicts_total", "Names that two nodes had claimed.", func(p *partition) uint64 { return p.Conflicts }),
	sum("lost_total", "Conflicts that cost this node its claim.", func(p *partition) uint64 { return p.Lost }),
	sum("disagreements_total", "Conflicts that nodes settled differently: a resolver is wrong.", func(p *partition) uint64 { return p.Disagreements }),
	sum("refutations_total", "Times that others knew more of this node than it does itself.", func(p *partition) uint64 { return p.Refutations }),
	sum("ignored_total", "Messages about nodes that are not up, or of earlier runs.", func(p *partition) uint64 { return p.Ignored }),
}

func registryGauge(name, help string, value func(*names) int) snapshotprom.Metric[names] {
	return snapshotprom.Gauge(registryPrefix+name, help, func(s names) int { return value(&s) })
}

func registryCounter(name, help string, value func(*names) uint64) snapshotprom.Metric[names] {
	return snapshotprom.Counter(registryPrefix+name, help, func(s names) uint64 { return value(&s) })
}

func registrySeconds(name, help string, value func(*names) time.Duration) snapshotprom.Metric[names] {
	return snapshotprom.Metric[names]{
		Name: registryPrefix + name, Help: help, Kind: prometheus.GaugeValue,
		Each: func(s names, set func(float64, ...string)) { set(value(&s).Seconds()) },
	}
}

func sum(name, help string, value func(*partition) uint64) snapshotprom.Metric[names] {
	return registryCounter(name, help, func(s *names) uint64 { return over(s, value) })
}

func total(name, help string, value func(*partition) int) snapshotprom.Metric[names] {
	return registryGauge(name, help, func(s *names) int { return over(s, value) })
}

func over[N int | uint64](s *names, value func(*partition) N) (n N) {
	for i := range s.Partitions {
		n += value(&s.Partitions[i])
	}
	return n
}

func worst(name, help string, value func(*partition) int) snapshotprom.Metric[names] {
	return registryGauge(name, help, func(s *names) (most int) {
		for i := range s.Partitions {
			most = max(most, value(&s.Partitions[i]))
		}
		return most
	})
}

func messages(name, help string, value func(*partition) registry.Messages) snapshotprom.Metric[names] {
	return snapshotprom.Metric[names]{
		Name: registryPrefix + name, Help: help, Kind: prometheus.CounterValue, Labels: []string{"kind"},
		Each: func(s names, set func(float64, ...string)) {
			var all registry.Messages
			for i := range s.Partitions {
				m := value(&s.Partitions[i])
				all.Updates += m.Updates
				all.Summaries += m.Summaries
				all.Vectors += m.Vectors
				all.Pulls += m.Pulls
				all.Chunks += m.Chunks
			}
			set(float64(all.Updates), "update")
			set(float64(all.Summaries), "summary")
			set(float64(all.Vectors), "vector")
			set(float64(all.Pulls), "pull")
			set(float64(all.Chunks), "chunk")
		},
	}
}
