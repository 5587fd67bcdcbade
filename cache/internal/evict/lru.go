package evict

// LRU evicts the node that was not used for the longest time. A use that Touch has noted takes
// effect when the node is about to be evicted: it gets a second chance. If every use is reported
// by Use, the order is exact.
type LRU struct{ q queue }

// NewLRU makes an empty LRU.
func NewLRU() *LRU { return new(LRU) }

// Add adds n as the newest node.
func (l *LRU) Add(n *Node) { l.q.push(n) }

// Replace puts n in old's place and notes a use. It does not move n, since that would leave a
// hole for each value that is replaced.
func (l *LRU) Replace(old, n *Node) {
	l.q.replace(old, n)
	n.beginUses(1)
}

// Remove removes n.
func (l *LRU) Remove(n *Node) { l.q.remove(n) }

// Clear removes all nodes.
func (l *LRU) Clear() { *l = LRU{} }

// Use makes n the newest node.
func (l *LRU) Use(n *Node) {
	l.q.remove(n)
	l.q.push(n)
}

// Victim returns the oldest node, other than spared, that was not used since it was last
// moved; nil if there is none but spared. It moves used nodes that it passes.
func (l *LRU) Victim(spared *Node) *Node {
	for chances := secondChances; ; chances-- {
		n := l.q.oldest()
		if n == nil || n == spared && l.q.n == 1 {
			return nil
		}
		if n != spared && (chances <= 0 || n.takeUses() == 0) {
			return n
		}
		l.q.push(l.q.pop())
	}
}

// Len returns the number of nodes.
func (l *LRU) Len() int { return l.q.n }

// All yields the nodes, the oldest first.
func (l *LRU) All(yield func(*Node) bool) { l.q.all(yield) }
