package evict

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// A Snapshot holds the nodes of a policy, copied so that they can be read without the shard's lock.
type Snapshot struct {
	queues []snapshotQueue
	now    uint32
	every  uint32 // the interval of Touch
}

type snapshotQueue struct {
	nodes []*Node
	part  Part
	level int  // within the part; 0: that which is evicted from last
	rises bool // a node that was used since it was last moved belongs to the level before
}

// A Part is a part of a policy that orders its nodes by itself.
type Part uint8

// The parts.
const (
	ByUse   Part = iota // ordered by the last use
	ByCount             // ordered by the count, and then by the last use
	Parts   = iota
)

// A Ranked is a node with what decides its rank in its part.
type Ranked struct {
	Node  *Node
	Part  Part
	Count uint32 // to be set by the caller, if the policy is a Counter
	level int
	// A use is noted at most once per interval, so age counts intervals since the last noted one. Of
	// nodes with one age, those with more noted uses are hotter.
	age, uses uint32
	exact     uint32 // the age in insertions
}

// Compare returns a negative number if r is hotter than o, of the same part and shard.
func (r Ranked) Compare(o Ranked) int {
	byUse := cmp.Or(
		cmp.Compare(r.level, o.level), cmp.Compare(r.age, o.age), cmp.Compare(o.uses, r.uses),
		cmp.Compare(r.exact, o.exact),
	)
	if r.Part == ByCount {
		return cmp.Or(cmp.Compare(o.Count, r.Count), byUse)
	}
	return byUse
}

// SnapshotOf copies the pointers to the nodes of p, without reading the nodes. now and interval are
// those of the shard for Touch.
func SnapshotOf(p Policy, now, interval uint32) Snapshot {
	s := Snapshot{now: now, every: max(1, interval)}
	switch p := p.(type) {
	case *TinyLFU:
		s.queues = []snapshotQueue{
			{nodes: p.window.pointers()},
			{nodes: p.protected.pointers(), part: ByCount},
			{nodes: p.probation.pointers(), part: ByCount, level: 1, rises: true},
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
	for _, q := range s.queues {
		for _, n := range slices.Backward(q.nodes) {
			if n == nil {
				continue
			}
			m := atomic.LoadUint32(&n.mark)
			r := Ranked{Node: n, Part: q.part, level: q.level, uses: m & usesMax}
			if q.rises && r.uses > 0 {
				r.level--
			}
			// The mark is in the future if the node was used since.
			age := max(0, int32(s.now<<usesBits-m&^usesMax)) >> usesBits //nolint:gosec // wraps
			r.exact = uint32(age)                                        //nolint:gosec // not negative
			r.age = r.exact / s.every
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
