package registry

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// compareEvery is the time between two comparisons with another node, jittered by a quarter.
const compareEvery = 2 * time.Second

// maxQuestions bounds the digests of other nodes that wait for an answer. A dropped one comes
// again.
const maxQuestions = 64

// A comparison finds what the network lost, for all partitions of a space at once. A node sends the
// digest of its partitions' roots to a random other node, as the summary of a partition that does
// not exist. If the other's digest differs, it answers with the summaries of its partitions, and
// the cores of those that differ do the rest. So the cost does not depend on the number of
// partitions as long as nodes agree. The alarm's goroutine does all of it.
type comparison struct {
	at        int64 // when the next is due: Mono
	questions chan question
}

// A question is the digest of another node's partitions.
type question struct {
	from  string
	space int // 0: of names, 1: of groups
	root  uint64
}

// ask queues another node's digest for answer. It does not wait.
func (r *Registry) ask(from string, space int, m replica.Message) {
	s, ok := m.(*replica.Summary)
	if !ok {
		r.rejected.Add(1)
		return
	}
	if space == 1 && r.groups.awake() == nil {
		_, _ = r.wakeGroups() // an error: the registry is closed
	}
	select {
	case r.comparison.questions <- question{from, space, s.Root}:
	default:
	}
}

// compare sends the digests to a random node if they are due, and returns when the next are.
func (r *Registry) compare() (next int64) {
	c, now := &r.comparison, int64(time.Since(r.started))
	if r.peers.count.Load() == 0 {
		return never
	}
	if now < c.at {
		return c.at
	}
	const quarter = int64(compareEvery) / 4
	c.at = r.alarm.round(
		time.Duration(now + int64(compareEvery) - quarter/2 + rand.Int64N(quarter)),
	)
	nodes := slices.Collect(maps.Keys(r.peers.all()))
	if len(nodes) == 0 {
		return never
	}
	to := nodes[rand.IntN(len(nodes))]
	for n := range 2 {
		if parts := r.spaceAt(n); len(parts) > 0 {
			r.net.Probe(to, 2*len(r.parts)+n, &replica.Summary{Root: digest(parts)})
		}
	}
	return c.at
}

// answer sends the summaries of all partitions to a node whose digest differs. It begins at a
// random partition: if the network does not take all, the last are left out.
func (r *Registry) answer(q question) {
	parts := r.spaceAt(q.space)
	if len(parts) == 0 || digest(parts) == q.root {
		return
	}
	first := rand.IntN(len(parts))
	for i := range parts {
		p := parts[(first+i)%len(parts)]
		root, ok := p.summary()
		if !ok {
			continue
		}
		m := &replica.Summary{Root: root}
		if !r.net.Probe(q.from, p.n, m) {
			return
		}
		p.summaries.Add(1)
		p.sentBytes.Add(p.size(m))
	}
}

// digest returns the hash of the roots of partitions. The root of one whose lock is taken counts as
// 0, which differs from the others': then the partitions are compared one by one.
func digest(parts []*part) uint64 {
	var h xxhash.Digest
	h.Reset()
	var b [8]byte
	for _, p := range parts {
		root, _ := p.summary()
		binary.BigEndian.PutUint64(b[:], root)
		_, _ = h.Write(b[:]) // never fails
	}
	return h.Sum64()
}

// summary returns the root of the core, unless the partition's lock is taken. It does not wait.
func (p *part) summary() (root uint64, ok bool) {
	if root = p.root.Load(); root != 0 {
		return root, true
	}
	if !p.mu.TryLock() {
		return 0, false
	}
	defer p.mu.Unlock()
	root = p.core.Root()
	p.root.Store(root)
	return root, true
}
