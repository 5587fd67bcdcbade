package evict

// TinyLFU evicts by frequency, estimated over more keys than are stored: what is
// new has to be asked for more often than what would have to go for it. So a
// scan does not displace what is in use. It is W-TinyLFU (Einziger, Friedman and
// Manes, ACM Transactions on Storage 2017): new nodes pass through a window, so
// that a burst is served, and compete for a place in the main part after it,
// which is of nodes on probation and others that were used meanwhile and are
// protected. How large the window is follows from what it does for the hit
// ratio, see [Window].
//
// Unlike there a hit moves nothing. The uses of a node are counted in its mark,
// and come into effect when it is the oldest of its queue.
type TinyLFU struct {
	windowShare *Window
	sketch      sketch
	window      queue
	probation   queue
	protected   queue
	random      uint32
	candidate   *Node // the last that came out of the window, until it competed
}

// rare is the count from which a candidate that has one more than a victim is let
// in; below it takes two. Without that a loop over more keys than there is room
// for gets no hits at all after the counters were halved in the middle of it.
const rareCount = 2

// protectedShare is the part of the main part that may be protected.
const protectedShare = 0.8

// NewTinyLFU makes an empty TinyLFU. Shards of one cache share a Window.
func NewTinyLFU(share *Window) *TinyLFU {
	return &TinyLFU{windowShare: share, probation: queue{id: 1}, protected: queue{id: 2}, random: 1}
}

// Add takes in n. What the window has too much of then goes on to the main part.
func (p *TinyLFU) Add(n *Node) {
	p.sketch.grow(p.Len() + 1)
	p.sketch.add(n.Hash, 1)
	p.window.push(n)
	p.candidate = nil
	for size := p.windowShare.size(p.Len()); p.window.n > size; {
		p.candidate = p.window.pop()
		p.probation.push(p.candidate)
	}
}

// Replace puts n where old is, and notes a use.
func (p *TinyLFU) Replace(old, n *Node) {
	n.setUses(old.uses() + 1)
	p.queueOf(old).replace(old, n)
	if old == p.candidate {
		p.candidate = n
	}
}

// Remove takes n out. The sketch remembers it.
func (p *TinyLFU) Remove(n *Node) {
	p.flushUses(n)
	if n == p.candidate {
		p.candidate = nil
	}
	p.queueOf(n).remove(n)
	// After a burst the sketch is given back, and begins anew: what it knew was of
	// other times.
	if words := len(p.sketch.words); words > sketchKept && p.Len() < words/8 {
		p.sketch = sketch{}
		p.sketch.grow(p.Len())
	}
}

// Clear takes all nodes out. The sketch begins anew.
func (p *TinyLFU) Clear() { *p = *NewTinyLFU(p.windowShare) }

// sketchKept is the size, in words, up to which a sketch is not worth shrinking.
const sketchKept = 1024

// Use notes a use.
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

// tally moves the uses that n counted to the sketch, and reports whether there
// were any.
func (p *TinyLFU) flushUses(n *Node) bool {
	uses := n.takeUses()
	if uses > 0 {
		p.sketch.add(n.Hash, uses)
	}
	return uses > 0
}

// Victim is the node of the main part that was used less of two: the one that
// came out of the window last, and the one that would go first.
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

// oldest is the node of the main part that goes first, other than these two; nil
// if there is none. Used ones are moved to where they belong.
func (p *TinyLFU) oldestInMain(candidate, spared *Node) *Node {
	chances := secondChances
	for passed := 0; p.probation.n > passed; {
		n := p.probation.oldest()
		switch {
		case n == candidate || n == spared:
			p.probation.push(p.probation.pop())
			passed++ // these two at most
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

// demote puts what is protected beyond its share on probation.
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

// fromWindow is the oldest node of the window, other than spared; nil if there
// is none.
func (p *TinyLFU) oldestInWindow(spared *Node) *Node {
	for n := range p.window.all {
		if n != spared {
			return n
		}
	}
	return nil
}

// admits reports whether candidate is to stay rather than victim.
func (p *TinyLFU) admits(candidate, victim *Node) bool {
	have := p.sketch.count(victim.Hash) + victim.uses()
	want := p.sketch.count(candidate.Hash) + candidate.uses()
	// Where both are rare one more is little: the candidate's last use counts, the
	// victim's next is yet to come, and keys share counters.
	if want > max(have, min(have+1, rareCount)) {
		return true
	}
	// A few go in by chance, so that nobody can lock others out by using keys
	// that have the same counters (Caffeine).
	p.random ^= p.random << 13
	p.random ^= p.random >> 17
	p.random ^= p.random << 5
	return want > 5 && p.random&127 == 0
}

// Len is the number of nodes.
func (p *TinyLFU) Len() int { return p.window.n + p.probation.n + p.protected.n }

// All yields the nodes.
func (p *TinyLFU) All(yield func(*Node) bool) {
	more := true
	for _, q := range []*queue{&p.window, &p.probation, &p.protected} {
		q.all(func(n *Node) bool {
			more = more && yield(n)
			return more
		})
	}
}
