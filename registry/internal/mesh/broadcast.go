package mesh

import (
	"sync"

	"github.com/hashicorp/memberlist"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// retransmits times the logarithm of the cluster's size, rounded up, is the number of times that a
// node sends each broadcast: three times among up to nine nodes, six times among up to 99.
// Memberlist gossips to three nodes at a time, so a small cluster has it after one round. In a
// larger one each node that gets it sends it on as often: all of them miss a node with a
// probability of e^-3 or e^-6, and that node detects the gap. More would cost each node as many
// packets more.
const retransmits = 3

// broadcasts is the queue of the updates that gossip carries. It is bounded, refuses more when it
// is full, and drops nothing that it has accepted.
type broadcasts struct {
	mu    sync.Mutex // makes the bound exact; the queue has a lock of its own, taken inside
	queue memberlist.TransmitLimitedQueue
	limit int
}

func (q *broadcasts) init(s *members, limit int) {
	q.limit = limit
	q.queue.RetransmitMult = retransmits
	q.queue.NumNodes = func() int { return s.others() + 1 }
}

// A broadcast is one message that gossip carries. None replaces another: each holds another part of
// a sequence.
type broadcast []byte

func (broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) Message() []byte                     { return b }
func (broadcast) Finished()                             {}
func (broadcast) UniqueBroadcast()                      {}

// Broadcast sends an update of this node to all members, in packets that may be lost. In a cluster
// of up to GossipAbove nodes they go straight to each; in a larger one the update is queued for
// gossip. Broadcast does not block, and reports false if the queue is full or the update does not
// fit into a packet. While the node is alone there is no receiver, and it reports true.
//
// Gossip sends one packet per round to each of three nodes, and each node passes on what is news to
// it: in a cluster of five an update crosses the wire 15 times, in one of 16 about 96 times, and a
// few hundred updates a second fill all rounds. Straight it crosses 4 or 15 times, as soon as the
// window ends; at once if Soon calls Broadcast.
func (m *Mesh) Broadcast(partition int, u *replica.Update) bool {
	item := wire.Item{Partition: partition, Message: u}
	if item.Size() > m.broadcastSize() {
		m.counters.tooLarge.Add(1)
		return false
	}
	switch others := m.members.others(); {
	case others == 0:
		return true
	case m.isSmall(others):
		return m.sendStraight(item)
	default:
		return m.gossip(item)
	}
}

// Relay passes an update of another node on if gossip carries updates; otherwise its origin has
// sent it to all. Like Broadcast it does not block.
func (m *Mesh) Relay(partition int, u *replica.Update) {
	item := wire.Item{Partition: partition, Message: u}
	if m.isSmall(m.members.others()) || item.Size() > m.broadcastSize() {
		return
	}
	m.gossip(item)
}

func (m *Mesh) isSmall(others int) bool { return others < m.cfg.GossipAbove }

// sendStraight sends an item to each member in a packet, or over a connection if too many packets
// wait for it. It reports whether there was room for all.
func (m *Mesh) sendStraight(item wire.Item) bool {
	sent, size := true, item.Size()
	for _, x := range m.members.all() {
		if !m.probes.put(x.Name, item, size) && !m.Send(x.Name, item.Partition, item.Message) {
			sent = false
		}
	}
	return sent
}

// gossip queues an item for gossip, and reports whether there was room.
func (m *Mesh) gossip(item wire.Item) bool {
	b, err := m.encode(byGossip, []wire.Item{item})
	if err != nil {
		m.invalid(err)
		return false
	}
	if !m.broadcast.put(b, &m.counters) {
		m.counters.broadcastFull.Add(1)
		return false
	}
	return true
}

func (q *broadcasts) put(b broadcast, c *counters) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.queue.NumQueued()
	if n >= q.limit {
		return false
	}
	q.queue.QueueBroadcast(b)
	c.broadcastHigh.raise(n + 1)
	return true
}

// Backlog returns the number of updates that gossip carries now. It does not block.
func (m *Mesh) Backlog() int { return m.broadcast.queue.NumQueued() }

// broadcastSize returns the most bytes that an update may take, by the Size of its [wire.Item], to
// fit into a broadcast.
func (m *Mesh) broadcastSize() int { return m.room - wire.HeaderSize(m.cfg.Node) }

// takeBroadcasts returns the messages for a packet. Memberlist sends all of them.
func (m *Mesh) takeBroadcasts(overhead, limit int) [][]byte {
	list := m.broadcast.queue.GetBroadcasts(overhead, limit)
	for _, b := range list {
		m.counters.gossip.sent(len(b))
	}
	return list
}

func (q *broadcasts) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue.Reset()
}
