package evict

import "sync/atomic"

// A Node is what a policy needs to know of an entry. It is the first field of
// one, so that an entry is found from its node.
type Node struct {
	// Hash is of the entry's key. Its low [HashSpare] bits are the cache's to
	// use. It does not change.
	Hash uint32

	// mark has the shard's time of the last use that was noted in its high bits,
	// and in the low ones how many uses were noted since the policy saw to them.
	mark atomic.Uint32

	place uint32 // queue and position in it

	// Weight does not change. It is not used here.
	Weight uint32
}

// HashSpare is the number of low bits of Node.Hash that are not the hash's.
const HashReserved = 2

const (
	usesBits = 4
	usesMax  = 1<<usesBits - 1
)

// Touch notes a use at now, unless one was noted less than lag ago. The time is
// counted in insertions into the shard. It is safe for concurrent use; of uses
// at the same time some may go unnoted.
func (n *Node) Touch(now, lag uint32) {
	m := n.mark.Load()
	if now<<usesBits-m&^usesMax < lag<<usesBits {
		return
	}
	n.mark.Store(now<<usesBits | min(m&usesMax+1, usesMax))
}

// Start has the node begin anew: it was inserted at now, and not used since.
func (n *Node) Reset(now uint32) { n.mark.Store(now << usesBits) }

// uses is how often the node was used since take.
func (n *Node) uses() uint32 { return n.mark.Load() & usesMax }

// credit has the node used that often.
func (n *Node) setUses(uses uint32) { n.mark.Store(n.mark.Load()&^usesMax | min(uses, usesMax)) }

// take returns uses and forgets them.
func (n *Node) takeUses() uint32 {
	m := n.mark.Load()
	n.mark.Store(m &^ usesMax)
	return m & usesMax
}

// UsedBefore reports whether the last use that was noted of n, or its insertion, was
// earlier than that of o. Both are of the same shard.
func (n *Node) UsedBefore(o *Node) bool {
	return int32(n.mark.Load()&^usesMax-o.mark.Load()&^usesMax) < 0 //nolint:gosec // wraps
}

// Started reports whether Start was called last, and with now.
func (n *Node) UntouchedSince(now uint32) bool { return n.mark.Load() == now<<usesBits }
