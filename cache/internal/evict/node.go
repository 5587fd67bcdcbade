package evict

import "sync/atomic"

// A Node holds the part of an entry that a policy uses. It is the entry's first field, so
// that a node's address is its entry's.
type Node struct {
	// Hash is the hash of the entry's key. The cache uses its low [HashReserved] bits
	// for other things. It does not change.
	Hash uint32

	// mark holds the shard's time of the last noted use in its high bits, and in the low
	// ones the number of uses noted since the policy took them.
	mark uint32 // accessed atomically once the node is shared

	place uint32 // the queue and the position in it

	// Weight is the entry's weight. It does not change, and is not used here.
	Weight uint32
}

// HashReserved is the number of low bits of Node.Hash that are not part of the hash.
const HashReserved = 2

const (
	usesBits = 4
	usesMax  = 1<<usesBits - 1
)

// Touch notes a use at now, unless one was noted that the policy has not taken yet, less than
// interval ago. So an entry in use does not leave before a use was noted, and hardly any hit
// writes. Time is counted in insertions into the shard. Touch reports whether it has noted the use.
// It is safe for concurrent use; of several uses at the same time, some may not be noted.
func (n *Node) Touch(now, interval uint32) bool {
	m := atomic.LoadUint32(&n.mark)
	if m&usesMax > 0 && now<<usesBits-m&^usesMax < interval<<usesBits {
		return false
	}
	atomic.StoreUint32(&n.mark, now<<usesBits|min(m&usesMax+1, usesMax))
	return true
}

// Reset marks n as inserted at now, and not used since.
func (n *Node) Reset(now uint32) { atomic.StoreUint32(&n.mark, now<<usesBits) }

// Begin does what Reset does for a node that is not shared yet, without an atomic store.
func (n *Node) Begin(now uint32) { n.mark = now << usesBits }

// beginUses does what setUses does for a node that is not shared yet.
func (n *Node) beginUses(uses uint32) { n.mark = n.mark&^usesMax | min(uses, usesMax) }

// uses returns the number of uses noted since takeUses, at most usesMax.
func (n *Node) uses() uint32 { return atomic.LoadUint32(&n.mark) & usesMax }

// setUses sets the number of uses, at most usesMax.
func (n *Node) setUses(uses uint32) {
	atomic.StoreUint32(&n.mark, atomic.LoadUint32(&n.mark)&^usesMax|min(uses, usesMax))
}

// takeUses returns the number of uses and sets it to 0.
func (n *Node) takeUses() uint32 {
	m := atomic.LoadUint32(&n.mark)
	atomic.StoreUint32(&n.mark, m&^usesMax)
	return m & usesMax
}

// UsedBefore reports whether n's last noted use, or else its insertion, was earlier than o's.
// Both must be in the same shard.
func (n *Node) UsedBefore(o *Node) bool {
	last, others := atomic.LoadUint32(&n.mark)&^usesMax, atomic.LoadUint32(&o.mark)&^usesMax
	return int32(last-others) < 0 //nolint:gosec // wraps
}

// UntouchedSince reports whether n was reset at now, and no use was noted since.
func (n *Node) UntouchedSince(now uint32) bool {
	return atomic.LoadUint32(&n.mark) == now<<usesBits
}
