package mesh

import "sync/atomic"

// Stats describes the network below a registry. Counts are since it was opened; depths are those of
// now.
type Stats struct {
	Gossip   PathStats // frames that gossip carried
	Reliable PathStats // frames over connections
	Packets  PathStats // frames in packets of their own

	Rejected       uint64 // what came and could not be read, or was under a key that is not installed
	Refused        uint64 // times that a node was kept out
	Strangers      uint64 // frames of nodes that are no members, or not in this run
	Unsent         uint64 // messages that no queue took; the protocol repairs that
	BroadcastsFull uint64 // times that gossip had no room for an update
	SendsFailed    uint64 // messages that a connection or the system did not take

	BroadcastDepth, BroadcastHigh  int // updates that gossip carries, and the most ever
	PeerQueueItems, PeerQueueBytes int // what waits for connections to all other nodes
	PeerQueueHigh                  int // the most bytes that ever waited for one node

	HealthScore    int // how slow memberlist thinks this node is; 0: not at all
	Connections    int // that are open now, either way
	Lost           int // lost nodes that are looked for
	RejoinAttempts uint64
	Rejoined       uint64
}

// PathStats counts frames and their bytes, before encryption. What gossip repeats is counted each
// time.
type PathStats struct {
	FramesIn, BytesIn   uint64
	FramesOut, BytesOut uint64
}

type pathCounters struct {
	framesIn, bytesIn, framesOut, bytesOut atomic.Uint64
}

func (p *pathCounters) sent(bytes int) {
	p.framesOut.Add(1)
	p.bytesOut.Add(uint64(bytes))
}

func (p *pathCounters) stats() PathStats {
	return PathStats{
		FramesIn: p.framesIn.Load(), BytesIn: p.bytesIn.Load(),
		FramesOut: p.framesOut.Load(), BytesOut: p.bytesOut.Load(),
	}
}

// A highWater remembers the largest value.
type highWater struct{ v atomic.Int64 }

func (h *highWater) raise(v int) {
	for {
		old := h.v.Load()
		if int64(v) <= old || h.v.CompareAndSwap(old, int64(v)) {
			return
		}
	}
}

// counters count apart what Stats adds up.
type counters struct {
	gossip, reliable, packets pathCounters

	rejected, refused, rejoins, rejoined atomic.Uint64

	// frames that were ignored: of the own name, of nodes that are no members, of earlier runs
	own, unknown, stale atomic.Uint64

	// Messages that were not sent: too large for their path, to a node that is no member, for which
	// a queue was full, whose member went while they waited, that can't be encoded; that gossip had
	// no room for; and that a connection or the system did not take.
	tooLarge, noMember, queueFull, peerGone, invalid atomic.Uint64
	broadcastFull, sendFailed                        atomic.Uint64

	broadcastHigh, peerQueueHigh highWater
}

// path returns the counters for the first byte of a frame; nil if it is none's.
func (c *counters) path(sort byte) *pathCounters {
	switch sort {
	case byGossip:
		return &c.gossip
	case byReliable:
		return &c.reliable
	case byProbe:
		return &c.packets
	}
	return nil
}

// Stats returns the counts, which are not of one instant. It does not block.
func (m *Mesh) Stats() Stats {
	c := &m.counters
	s := Stats{
		Gossip: c.gossip.stats(), Reliable: c.reliable.stats(), Packets: c.packets.stats(),
		Rejected:  c.rejected.Load(),
		Refused:   c.refused.Load(),
		Strangers: c.own.Load() + c.unknown.Load() + c.stale.Load(),
		Unsent: c.tooLarge.Load() + c.noMember.Load() + c.queueFull.Load() + c.peerGone.Load() +
			c.invalid.Load(),
		BroadcastsFull: c.broadcastFull.Load(),
		SendsFailed:    c.sendFailed.Load(),
		BroadcastDepth: m.Backlog(),
		BroadcastHigh:  int(c.broadcastHigh.v.Load()),
		PeerQueueHigh:  int(c.peerQueueHigh.v.Load()),
		HealthScore:    m.list.GetHealthScore(),
		Connections:    m.transport.connections(),
		Lost:           m.rejoin.candidates(),
		RejoinAttempts: c.rejoins.Load(),
		Rejoined:       c.rejoined.Load(),
	}
	for _, x := range m.members.all() {
		items, bytes := x.peer.depth()
		s.PeerQueueItems += items
		s.PeerQueueBytes += bytes
	}
	return s
}
