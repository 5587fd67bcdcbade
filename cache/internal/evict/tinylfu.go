package evict

// TinyLFU evicts by frequency, which it estimates for more keys than are stored. A new node
// displaces another one only if it is asked for more often, so a scan does not displace
// nodes in use. It is W-TinyLFU (Einziger, Friedman and Manes, ACM Transactions on Storage
// 2017). New nodes first pass through a window, so that bursts hit. Then they compete for a
// place in the main part. That consists of nodes on probation, and of protected nodes,
// which were used while on probation. If the window is the whole cache, nothing is in the main
// part, and TinyLFU is LRU. See [Window] for its size.
//
// Unlike in the paper, a hit moves nothing. A node's mark counts its uses, which take
// effect when the node is the oldest of its queue.
type TinyLFU struct {
	windowShare *Window
	sketch      sketch
	window      queue
	probation   queue
	protected   queue
	random      uint32
	candidate   *Node // the last node that left the window, until it has competed
}

// rareCount is the count from which a candidate that has one more than the victim is
// admitted; below, it needs two more. Otherwise a loop over more keys than there is room for
// gets no hits at all after the counters were halved in the middle of it.
const rareCount = 2

// protectedShare is the largest share of the main part that may be protected.
const protectedShare = 0.8

// NewTinyLFU makes an empty TinyLFU. The shards of a cache have one Window in common.
func NewTinyLFU(share *Window) *TinyLFU {
	return &TinyLFU{windowShare: share, probation: queue{id: 1}, protected: queue{id: 2}, random: 1}
}

// Add adds n to the window. Nodes for which the window has no room move on to the main part, unless
// they were used. Few move at a time: if the window's share has become much smaller, it takes some
// additions to follow.
func (p *TinyLFU) Add(n *Node) {
	p.sketch.grow(p.Len() + 1)
	p.sketch.add(n.Hash, 1)
	p.window.push(n)
	p.candidate = nil
	size := p.windowShare.size(p.Len())
	for moves := secondChances; p.window.n > size && moves > 0; moves-- {
		oldest := p.window.pop()
		if oldest != n && p.flushUses(oldest) {
			p.window.push(oldest)
			continue
		}
		p.candidate = oldest
		p.probation.push(oldest)
	}
}

// Replace puts n in old's place, and notes a use.
func (p *TinyLFU) Replace(old, n *Node) {
	n.beginUses(old.uses() + 1)
	p.queueOf(old).replace(old, n)
	if old == p.candidate {
		p.candidate = n
	}
}

// Remove removes n. The sketch keeps its count.
func (p *TinyLFU) Remove(n *Node) {
	p.flushUses(n)
	if n == p.candidate {
		p.candidate = nil
	}
	p.queueOf(n).remove(n)
	// Release a large sketch after a burst. Its counts are outdated by then.
	if words := len(p.sketch.words); words > sketchKept && p.Len() < words/8 {
		p.sketch = sketch{}
		p.sketch.grow(p.Len())
	}
}

// Clear removes all nodes, and resets the sketch.
func (p *TinyLFU) Clear() { *p = *NewTinyLFU(p.windowShare) }

// sketchKept is the size, in words, up to which shrinking a sketch saves too little.
const sketchKept = 1024

// Use notes a use. It moves nothing: only the count matters here.
func (p *TinyLFU) Use(n *Node) { n.setUses(n.uses() + 1) }

func (p *TinyLFU) queueOf(n *Node) *queue {
	switch {
	case p.window.contains(n):
		return &p.window
	case p.probation.contains(n):
		return &p.probation
	default:
		return &p.protected
	}
}

// flushUses adds n's noted uses to the sketch, and reports whether there were any.
func (p *TinyLFU) flushUses(n *Node) bool {
	uses := n.takeUses()
	if uses > 0 {
		p.sketch.add(n.Hash, uses)
	}
	return uses > 0
}

// Victim returns the less used of two nodes of the main part: the candidate, which left the
// window last, and the oldest one. If the main part has neither, it returns the oldest node
// of the window. It never returns spared; nil if there is no other node.
func (p *TinyLFU) Victim(spared *Node) *Node {
	candidate := p.candidate
	p.candidate = nil
	if candidate == spared {
		candidate = nil
	}
	victim := p.oldestInMain(candidate, spared)
	switch {
	case victim == nil && candidate == nil:
		return p.oldestInWindow(spared)
	case victim == nil:
		return candidate
	case candidate == nil || p.admits(candidate, victim):
		return victim
	default:
		return candidate
	}
}

// oldestInMain returns the node of the main part to evict next, other than candidate and
// spared, or nil if there is none. It moves used nodes that it passes.
func (p *TinyLFU) oldestInMain(candidate, spared *Node) *Node {
	chances := secondChances
	for passed := 0; p.probation.n > passed; {
		n := p.probation.oldest()
		switch {
		case n == candidate || n == spared:
			p.probation.push(p.probation.pop())
			passed++ // at most twice
		case chances > 0 && p.flushUses(n):
			p.protected.push(p.probation.pop())
			p.demote()
			chances--
		default:
			return n
		}
	}
	for passed := 0; p.protected.n > passed; {
		n := p.protected.oldest()
		if n != candidate && n != spared && (chances <= 0 || !p.flushUses(n)) {
			return n
		}
		p.protected.push(p.protected.pop())
		if n == candidate || n == spared {
			passed++
		}
		chances--
	}
	return nil
}

// demote moves protected nodes on probation until at most protectedShare is protected.
func (p *TinyLFU) demote() {
	most := int(protectedShare * float64(p.probation.n+p.protected.n))
	for chances := secondChances; p.protected.n > most; chances-- {
		n := p.protected.pop()
		if chances > 0 && p.flushUses(n) {
			p.protected.push(n)
		} else {
			p.probation.push(n)
		}
	}
}

// oldestInWindow returns the oldest node of the window, other than spared, that was not used since
// it was last moved, or nil if there is none but spared. It moves used nodes that it passes.
func (p *TinyLFU) oldestInWindow(spared *Node) *Node {
	if p.window.n == 0 || p.window.n == 1 && p.window.oldest() == spared {
		return nil
	}
	for chances := secondChances; ; chances-- {
		n := p.window.oldest()
		if n != spared && (chances <= 0 || !p.flushUses(n)) {
			return n
		}
		p.window.push(p.window.pop())
	}
}

// admits reports whether candidate stays and victim is evicted.
func (p *TinyLFU) admits(candidate, victim *Node) bool {
	have := p.sketch.count(victim.Hash) + victim.uses()
	want := p.sketch.count(candidate.Hash) + candidate.uses()
	// If both are rare, one more is not enough: the candidate's last use is counted and
	// the victim's next one is not, and keys share counters.
	if want > max(have, min(have+1, rareCount)) {
		return true
	}
	// Admit a few at random, as Caffeine does, so that an attacker cannot keep keys out
	// by using others that have the same counters.
	p.random ^= p.random << 13
	p.random ^= p.random >> 17
	p.random ^= p.random << 5
	return want > 5 && p.random&127 == 0
}

// Len returns the number of nodes.
func (p *TinyLFU) Len() int { return p.window.n + p.probation.n + p.protected.n }

// All yields every node. The policy must not change meanwhile.
func (p *TinyLFU) All(yield func(*Node) bool) {
	more := true
	for _, q := range []*queue{&p.window, &p.probation, &p.protected} {
		q.all(func(n *Node) bool {
			more = more && yield(n)
			return more
		})
	}
}
