package evict

// A queue is a sequence of nodes from the oldest to the newest, in chunks of an
// array. A node that leaves from the middle leaves a hole; when a third of a
// queue is holes it is packed.
type queue struct {
	id     uint32   // in the place of its nodes
	chunks []*chunk // from the one that has head to the one that has tail
	head   uint32   // position of the oldest, or of a hole
	tail   uint32   // position of the next to come
	n      int
	spare  *chunk // an empty one, so that a steady queue allocates nothing
}

const (
	chunkLen = 64 // a power of two
	idBits   = 2
	posMask  = 1<<(32-idBits) - 1
)

type chunk [chunkLen]*Node

// in reports whether n is in q, given that it is in some queue of the policy.
func (q *queue) contains(n *Node) bool { return n.place>>(32-idBits) == q.id }

// span is how many places there are, holes included.
func (q *queue) span() int { return int((q.tail - q.head) & posMask) }

// slot is where the node at pos is kept.
func (q *queue) slot(pos uint32) **Node {
	first := q.head &^ (chunkLen - 1)
	at := (pos - first) & posMask
	return &q.chunks[at/chunkLen][at%chunkLen]
}

// push makes n the newest.
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

// remove takes n out, which is in q.
func (q *queue) remove(n *Node) {
	*q.slot(n.place & posMask) = nil
	q.n--
	if q.n == 0 {
		q.clear()
	} else if span := q.span(); span > chunkLen && span-q.n > q.n/2 {
		q.pack()
	}
}

// replace puts n where old is.
func (q *queue) replace(old, n *Node) {
	*q.slot(old.place & posMask) = n
	n.place = old.place
}

// oldest is nil if there is none.
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

// pop takes the oldest out, which is there.
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

// skip leaves the hole at head behind.
func (q *queue) skip() {
	q.head = (q.head + 1) & posMask
	if q.head%chunkLen == 0 {
		q.spare = q.chunks[0]
		q.chunks[0] = nil
		q.chunks = q.chunks[1:]
	}
}

// clear has an empty queue begin anew.
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

// pack closes the holes.
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
