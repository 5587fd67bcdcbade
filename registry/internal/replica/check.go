package replica

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A check goes through the claims of an origin up to bound, the last tombstone that may have been
// missed, and asks which of them still stand.
type check struct {
	bound uint64
	next  uint64        // claims up to here have been checked
	asked bool          // the last question about the origin was a Check
	tries int           // in a row without progress
	retry time.Duration // no question before
}

// doubts reports whether the table has claims to check: it may have missed their end.
func (t *table) doubts() bool { return t.sure < t.hole && t.seq >= t.top }

// checkAt returns the moment before which no claims are checked.
func (t *table) checkAt() time.Duration {
	if t.check == nil {
		return 0
	}
	return t.check.retry
}

// checkMore sends the next Check of an origin's claims if one is due, and reports whether it did.
func (p *Partition) checkMore(at At, t *table) bool {
	if !t.doubts() || at.Mono < t.checkAt() {
		return false
	}
	if t.check == nil {
		t.check = &check{bound: t.hole}
		p.stats.Checks++
	}
	c := t.check
	server := p.server(t, t.origin, c.tries)
	if server == "" {
		return false
	}
	blocks := p.blocks(t, c.next, c.bound)
	if blocks == nil {
		p.finishCheck(at, t)
		return false
	}
	c.asked = true
	t.pull = &pull{
		server: server, after: c.next, check: true,
		sent: at.Mono, due: at.Mono + p.backOff(p.cfg.PullTimeout, c.tries),
	}
	p.send(server, &Check{
		Origin: t.origin, Incarnation: t.inc, After: c.next, AtLeast: c.bound, Blocks: blocks,
	})
	return true
}

// mostNumbers returns how many claims a Check asks about, and a Standing lists, at most.
func (p *Partition) mostNumbers() int { return max(1, p.cfg.ChunkBytes/8) }

// blocks returns the digests of the claims after a number, up to bound at most; nil if there are
// none.
func (p *Partition) blocks(t *table, after, bound uint64) []Block {
	var blocks []Block
	var d digest
	n, most := 0, p.mostNumbers()
	for _, r := range t.log[t.after(after):] {
		if r.Seq > bound {
			break
		}
		if r.Dead || !p.current(t, r) {
			continue
		}
		if n == most {
			return blocks
		}
		d.add(r.Seq)
		n++
		if d.n == p.cfg.BlockRecords || n == most {
			blocks = append(blocks, Block{UpTo: r.Seq, Digest: d.sum()})
			d = digest{}
		}
	}
	switch {
	case n == 0:
		return nil
	case d.n > 0:
		return append(blocks, Block{UpTo: bound, Digest: d.sum()})
	}
	blocks[len(blocks)-1].UpTo = bound
	return blocks
}

// A digest hashes numbers.
type digest struct {
	hash xxhash.Digest
	n    int
}

func (d *digest) add(seq uint64) {
	if d.n == 0 {
		d.hash.Reset()
	}
	d.n++
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], seq)
	_, _ = d.hash.Write(b[:]) // never fails
}

func (d *digest) sum() uint64 {
	if d.n == 0 {
		return 0
	}
	return d.hash.Sum64()
}

// answerCheck answers a Check with the claims that stand.
func (p *Partition) answerCheck(to string, q *Check) {
	t := p.tables[q.Origin]
	if t == nil || t.inc != q.Incarnation || !t.up && t != p.own {
		p.send(to, p.vector(false))
		return
	}
	s := &Standing{Origin: t.origin, Incarnation: t.inc, After: q.After, UpTo: q.After, AsOf: q.After}
	if t != p.own && !t.exact() || t.seq < q.AtLeast || t.seq <= q.After {
		p.send(to, s)
		return
	}
	s.AsOf = t.seq
	room := p.mostNumbers()
	log := t.log[t.after(q.After):]
	for _, b := range q.Blocks {
		if b.UpTo > t.seq || b.UpTo <= s.UpTo || room == 0 {
			break
		}
		span, d := Span{After: s.UpTo, UpTo: b.UpTo}, digest{}
		for ; len(log) > 0 && log[0].Seq <= b.UpTo; log = log[1:] {
			if r := log[0]; !r.Dead && p.current(t, r) {
				span.Seqs = append(span.Seqs, r.Seq)
				d.add(r.Seq)
			}
		}
		if d.sum() != b.Digest {
			if len(span.Seqs) > room {
				span.Seqs = span.Seqs[:room]
				span.UpTo = span.Seqs[room-1]
			}
			room -= len(span.Seqs)
			s.Spans = append(s.Spans, span)
		}
		s.UpTo = span.UpTo
		if span.UpTo < b.UpTo {
			break
		}
	}
	p.send(to, s)
}

// receiveStanding drops the claims that no longer stand, and goes on with the check.
func (p *Partition) receiveStanding(at At, t *table, from string, s *Standing) {
	if q := t.pull; q != nil && q.check && q.server == from && q.after == s.After {
		t.pull = nil
	}
	c := t.check
	switch {
	case c == nil || s.After != c.next || t.pull != nil && t.pull.check:
		p.stats.Ignored++
	case s.UpTo <= s.After || s.AsOf < c.bound:
		c.tries++
		c.retry = at.Mono + p.backOff(p.cfg.GapPatience, c.tries)
	default:
		for _, span := range s.Spans {
			p.sweep(at, t, span)
		}
		c.next, c.tries, c.retry = s.UpTo, 0, 0
		if c.next >= c.bound {
			p.finishCheck(at, t)
		}
	}
	p.pullMore(at)
}

// sweep drops the claims in a span that it does not list.
func (p *Partition) sweep(at At, t *table, span Span) {
	var gone []*Record
	for _, r := range t.log[t.after(span.After):] {
		if r.Seq > span.UpTo {
			break
		}
		if _, stands := slices.BinarySearch(span.Seqs, r.Seq); !stands && !r.Dead && p.current(t, r) {
			gone = append(gone, r)
		}
	}
	for _, r := range gone {
		t.stale++
		end := &Record{Name: r.Name, Node: r.Node, Dead: true, Why: WhyMissing}
		p.replace(at, r.Name, t.origin, nil, end)
	}
	p.compact(t)
}

// finishCheck ends a check that has reached its bound: the claims up to there stood then.
func (p *Partition) finishCheck(at At, t *table) {
	t.sure, t.check = t.check.bound, nil
	t.confirm()
	p.showWhenCaughtUp(at, t)
}
