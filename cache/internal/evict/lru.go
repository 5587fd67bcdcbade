package evict

// LRU evicts the node that was not used for the longest time. Uses that are only
// noted come into effect when a node is about to go: it gets a second chance.
// With Use it is exact.
type LRU struct{ q queue }

// NewLRU makes an empty LRU.
func NewLRU() *LRU { return new(LRU) }

// Add takes in n as the newest.
func (l *LRU) Add(n *Node) { l.q.push(n) }

// Replace puts n where old is, and notes a use: to move it would leave a hole for
// each value that is set anew.
func (l *LRU) Replace(old, n *Node) {
	l.q.replace(old, n)
	n.setUses(1)
}

// Remove takes n out.
func (l *LRU) Remove(n *Node) { l.q.remove(n) }

// Clear takes all nodes out.
func (l *LRU) Clear() { *l = LRU{} }

// Use makes n the newest.
func (l *LRU) Use(n *Node) {
	l.q.remove(n)
	l.q.push(n)
}

// Victim is the oldest node that was not used since it was last moved.
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

// Len is the number of nodes.
func (l *LRU) Len() int { return l.q.n }

// All yields the nodes, the oldest first.
func (l *LRU) All(yield func(*Node) bool) { l.q.all(yield) }
