package registryprom

import (
	"cmp"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/internal/snapshotprom"
	"github.com/snowfence/snowfence/registry"
)

const prefix = "snowfence_registry_"

type (
	stats     = registry.Stats
	partition = registry.PartitionStats
	metric    = snapshotprom.Metric[stats]
)

func ownMetrics() []metric {
	return []metric{
		gauge("names", "Names that have a holder.", func(s *stats) int { return s.Names }),
		gauge("registrations", "Names that this node holds.",
			func(s *stats) int { return s.Registrations }),
		gauge("members", "Nodes that are seen, this one included.",
			func(s *stats) int { return s.Members }),
		gauge("heap_bytes", "Heap that the tables of names take, estimated.",
			func(s *stats) int { return int(s.HeapBytes) }), //nolint:gosec // memory fits
		counter("rejected_total", "Messages that could not be read.",
			func(s *stats) uint64 { return s.Rejected }),
		counter("clock_refused_total", "Times of others that were too far ahead to be followed.",
			func(s *stats) uint64 { return s.Clock.Refused }),
		counter("clock_clamps_total", "Times that this node's clock was found to be too far ahead.",
			func(s *stats) uint64 { return s.Clock.Clamps }),
		{
			Name: prefix + "clock_ahead_seconds",
			Help: "By how much this node's clock is held back.",
			Kind: prometheus.GaugeValue,
			Each: func(s stats, set func(float64, ...string)) { set(s.Clock.Ahead.Seconds()) },
		},
	}
}

func partitionMetrics() []metric {
	return []metric{
		worst("partition_names", "Names that have a holder, in the fullest partition.",
			func(p *partition) int { return p.Names }),
		each("queue_depth", "Changes that wait to be sent, by partition.",
			func(p *partition) int { return p.Queue },
			func(depth int) float64 { return float64(depth) }),
		each("queue_age_seconds", "How long the oldest change has been waiting to be sent, by partition.",
			func(p *partition) time.Duration { return p.QueueAge }, time.Duration.Seconds),
		worst("inbox_depth", "Messages that wait to be handled, in the fullest partition.",
			func(p *partition) int { return p.Inbox }),
		total("callers_waiting", "Callers that wait for room in a queue.",
			func(p *partition) int { return p.Waiting }),
		total("tombstones", "Names without a holder that are remembered.",
			func(p *partition) int { return p.Tombstones }),
		messages("messages_received_total", "Messages received, by kind.",
			func(p *partition) registry.Messages { return p.Received }),
		messages("messages_sent_total", "Messages sent, by kind.",
			func(p *partition) registry.Messages { return p.Sent }),
		sum("received_bytes_total", "Bytes of messages received.",
			func(p *partition) uint64 { return p.ReceivedBytes }),
		sum("sent_bytes_total", "Bytes of messages sent.",
			func(p *partition) uint64 { return p.SentBytes }),
		sum("inbox_dropped_total", "Messages dropped for lack of room; they are asked for again.",
			func(p *partition) uint64 { return p.InboxDropped }),
		sum("gaps_total", "Updates before which something was missing.",
			func(p *partition) uint64 { return p.Gaps }),
		sum("pulls_total", "Requests for what was missing.",
			func(p *partition) uint64 { return p.Pulls }),
		sum("pull_timeouts_total", "Such requests that were not answered in time.",
			func(p *partition) uint64 { return p.PullTimeouts }),
		total("syncing", "Nodes that partitions have still to catch up with; registering waits for that.",
			func(p *partition) int { return p.Syncing }),
		sum("served_records_total", "Records sent to nodes that lacked them.",
			func(p *partition) uint64 { return p.Served }),
		sum("resyncs_total", "Times that a node lacked more than the tombstones that are kept can tell.",
			func(p *partition) uint64 { return p.Resyncs }),
		byOutcome("conflicts_total", "Conflicts, by outcome: this node's claim was kept or lost, "+
			"or both claims were of other nodes (elsewhere)."),
		sum("disagreements_total", "Conflicts that nodes resolved differently: a resolver is wrong.",
			func(p *partition) uint64 { return p.Disagreements }),
		sum("silent_holders_total", "Names that were released because their holders hang.",
			func(p *partition) uint64 { return p.Silent }),
		sum("refutations_total", "Times that others knew more of this node than it does itself.",
			func(p *partition) uint64 { return p.Refutations }),
		sum("ignored_total", "Messages about nodes that are not up, or of earlier runs.",
			func(p *partition) uint64 { return p.Ignored }),
	}
}

func gauge(name, help string, value func(*stats) int) metric {
	return snapshotprom.Gauge(prefix+name, help, func(s stats) int { return value(&s) })
}

func counter(name, help string, value func(*stats) uint64) metric {
	return snapshotprom.Counter(prefix+name, help, func(s stats) uint64 { return value(&s) })
}

func sum(name, help string, value func(*partition) uint64) metric {
	return counter(name, help, func(s *stats) uint64 { return over(s, value) })
}

func total(name, help string, value func(*partition) int) metric {
	return gauge(name, help, func(s *stats) int { return over(s, value) })
}

func over[N int | uint64](s *stats, value func(*partition) N) (n N) {
	for i := range s.Partitions {
		n += value(&s.Partitions[i])
	}
	return n
}

func worst(name, help string, value func(*partition) int) metric {
	return gauge(name, help, func(s *stats) int { return worstOf(s, value) })
}

func worstOf[N cmp.Ordered](s *stats, value func(*partition) N) (most N) {
	for i := range s.Partitions {
		most = max(most, value(&s.Partitions[i]))
	}
	return most
}

// each returns a gauge of each partition, or of the worst if there are more than MaxPartitions.
func each[N cmp.Ordered](
	name, help string, value func(*partition) N, unit func(N) float64,
) metric {
	return metric{
		Name: prefix + name, Help: help, Kind: prometheus.GaugeValue, Labels: []string{"partition"},
		Each: func(s stats, set func(float64, ...string)) {
			if len(s.Partitions) > MaxPartitions {
				set(unit(worstOf(&s, value)), "worst")
				return
			}
			for i := range s.Partitions {
				set(unit(value(&s.Partitions[i])), strconv.Itoa(i))
			}
		},
	}
}

func byOutcome(name, help string) metric {
	return metric{
		Name: prefix + name, Help: help, Kind: prometheus.CounterValue, Labels: []string{"outcome"},
		Each: func(s stats, set func(float64, ...string)) {
			set(float64(over(&s, func(p *partition) uint64 { return p.Kept })), "kept")
			set(float64(over(&s, func(p *partition) uint64 { return p.Lost })), "lost")
			set(float64(over(&s, func(p *partition) uint64 { return p.Elsewhere })), "elsewhere")
		},
	}
}

func messages(name, help string, value func(*partition) registry.Messages) metric {
	return metric{
		Name: prefix + name, Help: help, Kind: prometheus.CounterValue, Labels: []string{"kind"},
		Each: func(s stats, set func(float64, ...string)) {
			var all registry.Messages
			for i := range s.Partitions {
				m := value(&s.Partitions[i])
				all.Updates += m.Updates
				all.Summaries += m.Summaries
				all.Vectors += m.Vectors
				all.Pulls += m.Pulls
				all.Chunks += m.Chunks
				all.Checks += m.Checks
				all.Standings += m.Standings
			}
			set(float64(all.Updates), "update")
			set(float64(all.Summaries), "summary")
			set(float64(all.Vectors), "vector")
			set(float64(all.Pulls), "pull")
			set(float64(all.Chunks), "chunk")
			set(float64(all.Checks), "check")
			set(float64(all.Standings), "standing")
		},
	}
}
