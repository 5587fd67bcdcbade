package replica

import (
	"iter"
	"math"
	"slices"
	"sort"
	"time"
)

// A table holds one origin's claims and its log as this replica knows them: the state of the
// origin's sequence as of seq, if it is exact.
type table struct {
	origin string
	inc    uint64 // incarnation: messages of lower ones are ignored
	member uint64 // the incarnation under which membership knows the node
	seq    uint64 // the watermark: all claims made up to here that still stand are in the table
	want   uint64 // the highest number that any message named

	// The numbers that tell whether the table is exact. All claims were seen to stand at the change
	// sure, or are newer than that; tombstones up to hole may have been missed; the claims that were
	// made up to seq and ended up to top may be missing. In an exact table sure and top are seq, and
	// hole is 0. An empty one has no claim that could be wrong, so sure is the highest number there
	// is.
	sure, hole, top uint64

	// log holds records in the order of Seq: the newest of each name, and stale older ones, which
	// are dropped once they are the majority. Pulls are served from it.
	log   []*Record
	stale int
	tombs map[string]*Record // by name: tombstones that are still in log
	floor uint64             // tombstones up to here may be gone

	visible   bool   // claims are shown: the node is up, and they are as new as target
	target    uint64 // the watermark of the first vector that spoke for the origin since it is up
	hasTarget bool   // such a vector has come
	caught    bool   // seq has reached target since the node is up

	buffer []*Update     // updates with a gap before them, sorted by After
	gapAt  time.Duration // from when on seq < want is a reason to pull
	source string        // the node that named want
	pull   *pull         // under way
	check  *check        // under way
	retry  time.Duration // no pull before
	tries  int           // pulls in a row without progress

	asked  time.Duration // when the node was last asked for its vector
	asks   int           // how often it was asked since it is up
	downAt time.Duration
	up     bool
}

// A pull is a question that waits for its answer: a [Pull] or, if check is set, a [Check].
type pull struct {
	server string
	after  uint64
	check  bool
	sent   time.Duration
	due    time.Duration // the time-out
}

func newTable(origin string, inc uint64) *table {
	return &table{origin: origin, inc: inc, tombs: make(map[string]*Record), sure: math.MaxUint64}
}

// after returns the index in the log of the first record with a higher number.
func (t *table) after(seq uint64) int {
	return sort.Search(len(t.log), func(i int) bool { return t.log[i].Seq > seq })
}

// current reports whether a record of the log is the newest of its name.
func (p *Partition) current(t *table, r *Record) bool {
	if r.Dead {
		return t.tombs[r.Name] == r
	}
	return p.claim(r.Name, t.origin) == r
}

// living yields the table's claims in the order of Seq.
func (p *Partition) living(t *table) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for _, r := range t.log {
			if !r.Dead && p.current(t, r) && !yield(r) {
				return
			}
		}
	}
}

// dropTombstones drops the oldest tombstones if there are too many. Own ones that Flush has not
// handed out stay.
func (p *Partition) dropTombstones(t *table) {
	if len(t.tombs) <= p.cfg.Tombstones {
		return
	}
	from := 0
	if t == p.own {
		from = t.after(t.floor) // none is left before
	}
	excess := len(t.tombs) - p.cfg.Tombstones/2
	for _, r := range t.log[from:] {
		if excess == 0 || t == p.own && r.Seq > p.flushed {
			break
		}
		if r.Dead && t.tombs[r.Name] == r {
			delete(t.tombs, r.Name)
			t.floor = max(t.floor, r.Seq)
			t.stale++
			excess--
		}
	}
}

// compact drops stale records once they are the majority of the log.
func (p *Partition) compact(t *table) {
	if t.stale > 64 && t.stale > len(t.log)/2 {
		t.log = slices.DeleteFunc(t.log, func(r *Record) bool { return !p.current(t, r) })
		t.log = slices.Clip(slices.Clone(t.log)) // a burst's array must not outlive it
		t.stale = 0
	}
}

// empty drops all claims of an origin; why is for the events. The incarnation stays, so that
// messages of older ones can't bring anything back.
func (p *Partition) empty(at At, t *table, why Why) {
	claims := slices.Collect(p.living(t))
	for _, r := range claims {
		p.replace(at, r.Name, t.origin, nil, &Record{Name: r.Name, Node: r.Node, Dead: true, Why: why})
	}
	t.log, t.stale, t.floor, t.seq, t.want = nil, 0, 0, 0, 0
	t.sure, t.hole, t.top = math.MaxUint64, 0, 0
	clear(t.tombs)
	p.stopCatchingUp(t)
	t.visible = t == p.own
}

// stopCatchingUp drops all that is under way to complete the table.
func (p *Partition) stopCatchingUp(t *table) {
	t.buffer, t.gapAt, t.source, t.pull, t.check, t.retry, t.tries = nil, 0, "", nil, nil, 0, 0
	t.hasTarget, t.target, t.caught, t.asks = false, 0, false, 0
}

// tableOf returns the table of an origin, and adds one if there is none.
func (p *Partition) tableOf(origin string) *table {
	t := p.tables[origin]
	if t == nil {
		t = newTable(origin, 0)
		p.tables[origin] = t
		i, _ := slices.BinarySearch(p.order, origin)
		p.order = slices.Insert(p.order, i, origin)
	}
	return t
}

// drop removes an origin. Its table must be empty.
func (p *Partition) drop(t *table) {
	delete(p.tables, t.origin)
	if i, ok := slices.BinarySearch(p.order, t.origin); ok {
		p.order = slices.Delete(p.order, i, i+1)
	}
}
