package evict

// A Policy orders the nodes of a shard by who goes first.
type Policy interface {
	// Add takes in a node that is new.
	Add(n *Node)
	// Replace puts n in the place of old: its key has a new value, which is noted
	// as a use.
	Replace(old, n *Node)
	// Remove takes n out.
	Remove(n *Node)
	// Clear takes all nodes out, and forgets what it knew of them. It takes the
	// same time however many there are.
	Clear()
	// Use moves n at once to where a use that was noted would get it later.
	Use(n *Node)
	// Victim is the node that goes first, other than spared; nil if there is
	// none. It stays in until Remove.
	Victim(spared *Node) *Node
	// Len is the number of nodes.
	Len() int
	// All yields every node. The policy must not be changed meanwhile.
	All(yield func(*Node) bool)
}

// secondChances bounds how many used nodes a search for a victim moves, since
// the shard is locked meanwhile: after a long time without insertions all of
// them may have been used.
const secondChances = 32
