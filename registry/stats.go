package registry

import (
	"time"
	"unsafe"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/mesh"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// Stats describes a registry at a moment. Counts are since it was opened.
type Stats struct {
	Names         int // that have a holder
	Registrations int // of this node
	Members       int // this node included
	Partitions    []PartitionStats

	// HeapBytes estimates the heap that the tables take: for each name a constant (its record, and its
	// share of the maps and logs) and the lengths of name and metadata; for each registration of this
	// node a further constant. What holders keep themselves is not counted.
	HeapBytes uint64

	Rejected uint64 // messages that could not be read, or were for a partition that does not exist
	Clock    ClockStats
	Network  NetworkStats
}

// ClockStats counts how often the bound on clocks was met.
type ClockStats = hlc.Stats

// NetworkStats describes the network below the registry: frames by their path, what was dropped or
// refused, the queues to other nodes, and the search for lost ones. Counts are since it was opened;
// depths are those of now.
type NetworkStats = mesh.Stats

// PathStats counts frames and their bytes, before encryption. What gossip repeats is counted each
// time.
type PathStats = mesh.PathStats

// PartitionStats describes one partition.
type PartitionStats struct {
	Names         int
	Registrations int

	// The queue of names that changed here and were not sent yet.
	Queue     int
	QueueHigh int           // the deepest that it was
	QueueAge  time.Duration // how long its oldest has been waiting
	Waiting   int           // callers that wait for room in it

	// The inbox of messages that came and were not handled yet.
	Inbox        int
	InboxHigh    int
	InboxDropped uint64 // for lack of room; the protocol asks for them again

	Received, Sent Messages
	// of messages, before framing and encryption; what gossip and SendAll repeat counts once
	ReceivedBytes, SentBytes uint64

	// Nodes that came up and are still to be caught up with: Register waits for that.
	Syncing int

	replica.Counts // of the protocol: gaps, requests for what was missing, conflicts and the like

	Silent    uint64 // names that were released because their holders were silent
	Kept      uint64 // of Conflicts, those in which this node kept its claim
	Elsewhere uint64 // of Conflicts, those between two other nodes
}

// Messages counts messages by kind; the doc of registry/internal/replica explains them.
type Messages struct {
	Updates, Summaries, Vectors, Pulls, Chunks, Checks, Standings uint64
}

func messages(n [replica.Kinds]uint64) Messages {
	return Messages{
		Updates: n[replica.KindUpdate], Summaries: n[replica.KindSummary], Vectors: n[replica.KindVector],
		Pulls: n[replica.KindPull], Chunks: n[replica.KindChunk],
		Checks: n[replica.KindCheck], Standings: n[replica.KindStanding],
	}
}

// Stats returns the counts. It takes each partition's lock for a moment.
func (r *Registry) Stats() Stats {
	s := Stats{
		Members:  int(r.peers.count.Load()) + 1,
		Rejected: r.rejected.Load(),
		Clock:    r.clock.Stats(),
		Network:  r.net.Stats(),
	}
	for _, p := range r.parts {
		ps := p.statistics()
		s.Names += ps.Names
		s.Registrations += ps.Registrations
		//nolint:gosec // not negative
		s.HeapBytes += uint64(max(p.heap.Load(), 0)) + uint64(ps.Registrations)*uint64(registrationHeap)
		s.Partitions = append(s.Partitions, ps)
	}
	return s
}

func (p *part) statistics() PartitionStats {
	inbox, in := p.inbox.len()
	p.mu.Lock()
	defer p.mu.Unlock()
	core := p.core.Stats()
	depth, since := p.core.Pending()
	syncing, _ := p.core.Behind()
	s := PartitionStats{
		Names: p.core.Len(), Registrations: len(p.regs),
		Queue: depth, QueueHigh: p.high, Waiting: p.gate.waiting.Len(),
		Inbox: inbox, InboxHigh: in.high, InboxDropped: in.dropped,
		Received: messages(core.Received), Sent: messages(core.Sent),
		ReceivedBytes: in.receivedBytes, SentBytes: p.sentBytes.Load(),
		Syncing: syncing, Counts: core.Counts,
		Silent: p.silent, Kept: p.kept, Elsewhere: p.elsewhere,
	}
	s.Received.Summaries += in.agreed
	s.Sent.Summaries += p.summaries.Load()
	if depth > 0 {
		s.QueueAge = p.reg.now().Mono - since
	}
	return s
}

// countConflict counts a conflict by its outcome, except those that this node lost: the core counts
// them. The caller holds mu.
func (p *part) countConflict(e replica.Event) {
	self := p.reg.cfg.NodeName
	switch {
	case e.Type != replica.Conflict:
	case e.Record.Node == self:
		p.kept++
	case e.Other.Node != self:
		p.elsewhere++
	}
}

// nameHeap is the heap of a name besides its record, its bytes and its metadata: its entries in the
// core's map and log, and in the map that Lookup reads. registrationHeap is that of a registration
// with its contexts. Both were measured with pointers of 8 bytes, see TestHeapEstimate; nearly all
// of it is pointers and lengths.
const (
	nameHeap         = 110 * pointerSize / 8
	registrationHeap = 820 * pointerSize / 8
	pointerSize      = unsafe.Sizeof(uintptr(0))
)

// heapOf estimates the heap of a winner.
func heapOf(r *replica.Record) int64 {
	if r == nil {
		return 0
	}
	return int64(unsafe.Sizeof(*r)+nameHeap) + int64(len(r.Name)+len(r.Meta)) //nolint:gosec // a size
}
