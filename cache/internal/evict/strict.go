package evict

// Strict evicts the node that was not used for the longest time. It learns of uses by Use alone,
// and moves the node then. So it does not profit from holes as a [queue] does, which has to be
// packed after some uses: it is a list, in an array with a link of four bytes each way.
type Strict struct {
	// slots[0] is the end of the ring on both sides: its newer is the oldest node, its older the
	// newest one. Free slots are linked by newer, from free on.
	slots []strictSlot
	free  uint32 // 0: none
	n     int
}

type strictSlot struct {
	node         *Node
	newer, older uint32
}

// NewStrict makes an empty Strict.
func NewStrict() *Strict { return new(Strict) }

// Add adds n as the newest node.
func (l *Strict) Add(n *Node) {
	if len(l.slots) == 0 {
		l.slots = append(l.slots, strictSlot{})
	}
	at := l.free
	if at == 0 {
		at = uint32(len(l.slots)) //nolint:gosec // entries fit in memory
		l.slots = append(l.slots, strictSlot{})
	} else {
		l.free = l.slots[at].newer
	}
	l.slots[at].node = n
	n.place = at
	l.link(at)
	l.n++
}

// link makes the slot at the newest one.
func (l *Strict) link(at uint32) {
	newest := l.slots[0].older
	l.slots[at].older, l.slots[at].newer = newest, 0
	l.slots[newest].newer, l.slots[0].older = at, at
}

// unlink takes the slot at out of the ring.
func (l *Strict) unlink(at uint32) {
	s := &l.slots[at]
	l.slots[s.older].newer, l.slots[s.newer].older = s.newer, s.older
}

// Replace puts n in old's place, and makes it the newest node.
func (l *Strict) Replace(old, n *Node) {
	l.slots[old.place].node = n
	n.place = old.place
	l.Use(n)
}

// Use makes n the newest node.
func (l *Strict) Use(n *Node) {
	if l.slots[0].older != n.place {
		l.unlink(n.place)
		l.link(n.place)
	}
}

// Remove removes n.
func (l *Strict) Remove(n *Node) {
	l.unlink(n.place)
	l.slots[n.place] = strictSlot{newer: l.free}
	l.free = n.place
	l.n--
	if l.n < len(l.slots)/4 && len(l.slots) > minSlots {
		l.pack()
	}
}

// minSlots is the number of slots below which packing saves too little.
const minSlots = 1024

// pack gives back the memory of free slots.
func (l *Strict) pack() {
	packed := Strict{slots: make([]strictSlot, 1, 2*l.n+1)}
	for n := range l.All {
		packed.Add(n)
	}
	*l = packed
}

// Clear removes all nodes.
func (l *Strict) Clear() { *l = Strict{} }

// Victim returns the oldest node other than spared, or nil if there is none.
func (l *Strict) Victim(spared *Node) *Node {
	for n := range l.All {
		if n != spared {
			return n
		}
	}
	return nil
}

// Len returns the number of nodes.
func (l *Strict) Len() int { return l.n }

// All yields the nodes, the oldest first.
func (l *Strict) All(yield func(*Node) bool) {
	if l.n == 0 {
		return
	}
	for at := l.slots[0].newer; at != 0; at = l.slots[at].newer {
		if !yield(l.slots[at].node) {
			return
		}
	}
}
