package mesh

import "sync/atomic"

// Stats counts since the start; the depths are those of now.
type Stats struct {
	Gossip   PathStats // frames that gossip took along
	Reliable PathStats // frames over connections
	Probe    PathStats // frames in packets of their own

	Rejected uint64 // messages that were no valid frame, or that no key decrypts
	Refused  uint64 // times that a node was kept out
	Received ReceiveDrops
	Dropped  SendDrops

	Members          int // the own node included
	BroadcastDepth   int // broadcasts that wait or are to be sent again
	BroadcastHigh    int // the most ever
	PeerQueueItems   int // messages that wait for all peers
	PeerQueueBytes   int // bytes that wait for all peers, those on their way included
	PeerQueueHigh    int // the most bytes that ever waited for one peer
	HealthScore      int // how slow memberlist thinks this node is; 0: not at all
	RejoinCandidates int // lost members that are looked for
	RejoinAttempts   uint64
	RejoinAttemptsOK uint64
	Connections      int // open now, either way
}

// PathStats count frames and their bytes, as they were before encryption. A broadcast is counted
// each time that it is sent.
type PathStats struct {
	FramesIn, BytesIn   uint64
	FramesOut, BytesOut uint64
}

// ReceiveDrops count valid frames that were ignored.
type ReceiveDrops struct {
	Own     uint64 // of the own name
	Unknown uint64 // of nodes that are not members, or not yet
	Stale   uint64 // of an earlier run of a member
}

// SendDrops count messages that were not sent.
type SendDrops struct {
	TooLarge      uint64 // for their path
	NoMember      uint64 // to somebody who is no member
	QueueFull     uint64 // of a peer
	BroadcastFull uint64
	PeerGone      uint64 // waited for a member that went
	SendFailed    uint64 // a connection failed, or a packet was not taken by the system
	Invalid       uint64 // could not be encoded
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

type counters struct {
	gossip, reliable, probe pathCounters

	rejected, refused   atomic.Uint64
	own, unknown, stale atomic.Uint64
	tooLarge, noMember  atomic.Uint64
	queueFull, peerGone atomic.Uint64
	broadcastFull       atomic.Uint64
	sendFailed, invalid atomic.Uint64
	rejoins, rejoined   atomic.Uint64

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
		return &c.probe
	}
	return nil
}

// Stats returns the counts. They are not of one instant. It does not block.
func (m *Mesh) Stats() Stats {
	c := &m.counters
	s := Stats{
		Gossip: c.gossip.stats(), Reliable: c.reliable.stats(), Probe: c.probe.stats(),
		Rejected: c.rejected.Load(),
		Refused:  c.refused.Load(),
		Received: ReceiveDrops{Own: c.own.Load(), Unknown: c.unknown.Load(), Stale: c.stale.Load()},
		Dropped: SendDrops{
			TooLarge: c.tooLarge.Load(), NoMember: c.noMember.Load(), QueueFull: c.queueFull.Load(),
			BroadcastFull: c.broadcastFull.Load(), PeerGone: c.peerGone.Load(),
			SendFailed: c.sendFailed.Load(), Invalid: c.invalid.Load(),
		},
		BroadcastDepth:   m.broadcast.queue.NumQueued(),
		BroadcastHigh:    int(c.broadcastHigh.v.Load()),
		PeerQueueHigh:    int(c.peerQueueHigh.v.Load()),
		HealthScore:      m.list.GetHealthScore(),
		RejoinCandidates: m.rejoin.candidates(),
		RejoinAttempts:   c.rejoins.Load(),
		RejoinAttemptsOK: c.rejoined.Load(),
		Connections:      m.transport.connections(),
	}
	all := m.members.all()
	s.Members = len(all) + 1
	for _, x := range all {
		items, bytes := x.peer.depth()
		s.PeerQueueItems += items
		s.PeerQueueBytes += bytes
	}
	return s
}
