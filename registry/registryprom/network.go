package registryprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/registry"
)

type network = registry.NetworkStats

var networkMetrics = []metric{
	byPath("frames_received_total", "Frames received, by path.",
		func(p registry.PathStats) uint64 { return p.FramesIn }),
	byPath("frames_sent_total", "Frames sent, by path; gossip repeats them.",
		func(p registry.PathStats) uint64 { return p.FramesOut }),
	byPath("frames_received_bytes_total", "Bytes of frames received, by path.",
		func(p registry.PathStats) uint64 { return p.BytesIn }),
	byPath("frames_sent_bytes_total", "Bytes of frames sent, by path; gossip repeats them.",
		func(p registry.PathStats) uint64 { return p.BytesOut }),
	netCount("frames_rejected_total", "Frames that could not be read, or were under another key.",
		func(n *network) uint64 { return n.Rejected }),
	netCount("refused_total", "Times that a node was kept out.",
		func(n *network) uint64 { return n.Refused }),
	netCount("strangers_total", "Frames of nodes that are no members, or not in this run.",
		func(n *network) uint64 { return n.Strangers }),
	netCount("unsent_total", "Messages that no queue took; they are asked for again.",
		func(n *network) uint64 { return n.Unsent }),
	netCount("sends_failed_total", "Messages that could not be sent.",
		func(n *network) uint64 { return n.SendsFailed }),
	netCount("gossip_full_total", "Times that gossip had no room for an update.",
		func(n *network) uint64 { return n.BroadcastsFull }),
	netLevel("gossip_depth", "Updates that gossip carries.",
		func(n *network) int { return n.BroadcastDepth }),
	netLevel("peer_queue_items", "Messages that wait for connections to other nodes.",
		func(n *network) int { return n.PeerQueueItems }),
	netLevel("peer_queue_bytes", "Bytes of these messages.",
		func(n *network) int { return n.PeerQueueBytes }),
	netLevel("health_score", "How slow this node seems to be to itself; 0: not at all.",
		func(n *network) int { return n.HealthScore }),
	netLevel("connections", "Connections that are open, either way.",
		func(n *network) int { return n.Connections }),
	netLevel("nodes_lost", "Lost nodes that are looked for.",
		func(n *network) int { return n.Lost }),
	netCount("rejoin_attempts_total", "Attempts to find lost nodes.",
		func(n *network) uint64 { return n.RejoinAttempts }),
	netCount("rejoins_total", "Lost nodes that were found again.",
		func(n *network) uint64 { return n.Rejoined }),
}

func netCount(name, help string, value func(*network) uint64) metric {
	return counter(name, help, func(s *stats) uint64 { return value(&s.Network) })
}

func netLevel(name, help string, value func(*network) int) metric {
	return gauge(name, help, func(s *stats) int { return value(&s.Network) })
}

// byPath returns a counter of each path.
func byPath(name, help string, value func(registry.PathStats) uint64) metric {
	return metric{
		Name: prefix + name, Help: help, Kind: prometheus.CounterValue, Labels: []string{"path"},
		Each: func(s stats, set func(float64, ...string)) {
			set(float64(value(s.Network.Gossip)), "gossip")
			set(float64(value(s.Network.Reliable)), "reliable")
			set(float64(value(s.Network.Packets)), "packets")
		},
	}
}
