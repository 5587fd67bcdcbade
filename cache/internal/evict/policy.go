package evict

// A Policy orders the nodes of a shard for eviction.
type Policy interface {
	// Add adds a new node.
	Add(n *Node)
	// Replace puts n in old's place, and notes a use: the key has a new value. n must not be
	// shared yet: hits must not find it.
	Replace(old, n *Node)
	// Remove removes n, which must have been added.
	Remove(n *Node)
	// Clear removes all nodes and forgets all uses, in constant time.
	Clear()
	// Use makes a use of n take effect at once, not when n is about to be evicted.
	Use(n *Node)
	// Victim returns the node to evict next, other than spared, or nil if there is none.
	// It does not remove the node.
	Victim(spared *Node) *Node
	// Len returns the number of nodes.
	Len() int
	// All yields every node. The policy must not change meanwhile.
	All(yield func(*Node) bool)
}

// secondChances bounds how many used nodes a search for a victim moves, since the shard is
// locked meanwhile: after a long time without insertions, all nodes may have been used.
const secondChances = 32
