package evict

// A queue orders nodes from the oldest to the newest. It is an array in chunks. Removing a
// node from the middle leaves a hole; a queue is packed when a third of it is holes.
type queue struct {
	id     uint32   // stored in the place of its nodes
	chunks []*chunk // from the one with head to the one with tail
	head   uint32   // the position of the oldest node, or of a hole before it
	tail   uint32   // the position of the next node to be pushed
	n      int      // the number of nodes
	spare  *chunk   // an empty one, so that a queue of constant length allocates nothing
}

const (
	chunkLen = 64 // a power of two
	idBits   = 2
	posMask  = 1<<(32-idBits) - 1
)

type chunk [chunkLen]*Node

// contains reports whether n is in q. n must be in some queue of the policy.
func (q *queue) contains(n *Node) bool { return n.place>>(32-idBits) == q.id }

// span returns the number of nodes and holes.
func (q *queue) span() int { return int((q.tail - q.head) & posMask) }

// slot returns the address of the pointer to the node at pos.
func (q *queue) slot(pos uint32) **Node {
	first := q.head &^ (chunkLen - 1)
	at := (pos - first) & posMask
	return &q.chunks[at/chunkLen][at%chunkLen]
}

// push adds n as the newest node.
func (q *queue) push(n *Node) {
	if q.tail%chunkLen == 0 || len(q.chunks) == 0 {
		c := q.spare
		if q.spare = nil; c == nil {
			c = new(chunk)
		}
		q.chunks = append(q.chunks, c)
	}
	*q.slot(q.tail) = n
	n.place = q.id<<(32-idBits) | q.tail
	q.tail = (q.tail + 1) & posMask
	q.n++
}

// remove removes n, which must be in q.
func (q *queue) remove(n *Node) {
	*q.slot(n.place & posMask) = nil
	q.n--
	if q.n == 0 {
		q.clear()
	} else if span := q.span(); span > chunkLen && span-q.n > q.n/2 {
		q.pack()
	}
}

// replace puts n in old's place.
func (q *queue) replace(old, n *Node) {
	*q.slot(old.place & posMask) = n
	n.place = old.place
}

// oldest returns the oldest node, or nil if q is empty.
func (q *queue) oldest() *Node {
	if q.n == 0 {
		return nil
	}
	for {
		if n := *q.slot(q.head); n != nil {
			return n
		}
		q.skip()
	}
}

// pop removes and returns the oldest node. q must not be empty.
func (q *queue) pop() *Node {
	n := q.oldest()
	*q.slot(q.head) = nil
	q.n--
	if q.n == 0 {
		q.clear()
	} else {
		q.skip()
	}
	return n
}

// skip moves head past a hole.
func (q *queue) skip() {
	q.head = (q.head + 1) & posMask
	if q.head%chunkLen == 0 {
		q.spare = q.chunks[0]
		q.chunks[0] = nil
		q.chunks = q.chunks[1:]
	}
}

// clear resets an empty queue, and releases its memory if that has become large.
func (q *queue) clear() {
	if len(q.chunks) > 0 && q.spare == nil {
		q.spare = q.chunks[0]
	}
	if cap(q.chunks) > chunkLen {
		q.chunks = nil
	}
	clear(q.chunks)
	q.chunks = q.chunks[:0]
	q.head, q.tail = 0, 0
}

// pack removes the holes.
func (q *queue) pack() {
	packed := queue{id: q.id}
	for n := range q.all {
		packed.push(n)
	}
	*q = packed
}

// all yields every node, the oldest first. q must not change meanwhile.
func (q *queue) all(yield func(*Node) bool) {
	for pos := q.head; pos != q.tail; pos = (pos + 1) & posMask {
		if n := *q.slot(pos); n != nil && !yield(n) {
			return
		}
	}
}
