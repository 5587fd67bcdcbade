package evict

import (
	"cmp"
	"slices"
)

// A Snapshot holds the nodes of a policy, copied so that they can be read without the shard's lock.
type Snapshot struct {
	queues []snapshotQueue // those that are evicted from last come first
	now    uint32
}

type snapshotQueue struct {
	nodes []*Node
	rises bool // a node that was used since it was last moved belongs to the queue before
}

// A Ranked is a node with its rank, as the policy would keep it.
type Ranked struct {
	Node  *Node
	queue int   // 0: that which is evicted from last
	age   int32 // since the last noted use, in insertions
}

// Compare returns a negative number if r is hotter than o, of the same shard.
func (r Ranked) Compare(o Ranked) int {
	return cmp.Or(cmp.Compare(r.queue, o.queue), cmp.Compare(r.age, o.age))
}

// SnapshotOf copies the pointers to the nodes of p, without reading the nodes. now is the shard's
// time.
func SnapshotOf(p Policy, now uint32) Snapshot {
	s := Snapshot{now: now}
	switch p := p.(type) {
	case *TinyLFU:
		s.queues = []snapshotQueue{
			{nodes: p.protected.pointers()},
			{nodes: p.window.pointers()},
			{nodes: p.probation.pointers(), rises: true},
		}
	case *LRU:
		s.queues = []snapshotQueue{{nodes: p.q.pointers()}}
	case *Strict:
		nodes := make([]*Node, 0, len(p.slots))
		for at := range p.slots {
			nodes = append(nodes, p.slots[at].node)
		}
		s.queues = []snapshotQueue{{nodes: nodes}}
	}
	return s
}

// pointers returns the nodes of q, with holes.
func (q *queue) pointers() []*Node {
	nodes := make([]*Node, 0, len(q.chunks)*chunkLen)
	for _, c := range q.chunks {
		nodes = append(nodes, c[:]...)
	}
	return nodes
}

// All yields the nodes, of each queue the newest first: a stable sort by Compare keeps that order
// among nodes of one age. No lock is needed. A node that was removed after the snapshot was taken
// is among them.
func (s *Snapshot) All(yield func(Ranked) bool) {
	for i := range s.queues {
		for _, n := range slices.Backward(s.queues[i].nodes) {
			if n == nil {
				continue
			}
			m := n.mark.Load()
			// In the future, if it was used since.
			age := max(0, int32(s.now<<usesBits-m&^usesMax)) >> usesBits //nolint:gosec // wraps
			r := Ranked{n, i, age}
			if s.queues[i].rises && m&usesMax > 0 {
				r.queue = 0
			}
			if !yield(r) {
				return
			}
		}
	}
}

// A Counter is a policy that estimates how often a node is asked for. The sizes of counts are
// comparable within a policy alone.
type Counter interface {
	// Count returns the count of n.
	Count(n *Node) uint32
	// Credit adds to the count of n, up to the most that is counted.
	Credit(n *Node, count uint32)
}

// Count returns the count of n.
func (p *TinyLFU) Count(n *Node) uint32 {
	return min(counterMax, p.sketch.count(n.Hash)+n.uses())
}

// Credit adds to the count of n, up to the most that is counted.
func (p *TinyLFU) Credit(n *Node, count uint32) {
	if count > 0 {
		p.sketch.add(n.Hash, min(count, counterMax))
	}
}
