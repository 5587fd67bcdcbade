package replica

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Receive takes a message from another node. What does not fit is counted and ignored.
func (p *Partition) Receive(at At, from string, m Message) {
	if k := m.Kind(); int(k) < len(p.stats.Received) {
		p.stats.Received[k]++
	}
	switch m := m.(type) {
	case *Update:
		if t := p.authority(at, m.Origin, m.Incarnation, m.UpTo); t != nil {
			p.receiveUpdate(at, t, m)
		}
	case *Summary:
		if m.Root != p.Root() {
			p.send(from, p.vector(true))
		}
	case *Vector:
		p.receiveVector(at, from, m)
	case *Pull:
		p.serve(from, m)
	case *Chunk:
		if t := p.authority(at, m.Origin, m.Incarnation, m.UpTo); t != nil {
			p.receiveChunk(at, t, from, m)
		}
	case *Check:
		p.answer(from, m)
	case *Standing:
		if t := p.authority(at, m.Origin, m.Incarnation, m.AsOf); t != nil {
			p.receiveStanding(at, t, from, m)
		}
	}
}

// authority returns the table that a message about an origin belongs to, nil if it is to be
// ignored: about a node that is not up, of an incarnation that is over, or about the own node.
func (p *Partition) authority(at At, origin string, inc, seq uint64) *table {
	if origin == p.cfg.Self {
		p.refute(at, inc, seq)
		return nil
	}
	t := p.tables[origin]
	if t == nil || !t.up || inc < t.inc {
		p.stats.Ignored++
		return nil
	}
	if inc > t.inc {
		p.empty(at, t, WhyNodeRestart)
		t.inc = inc
		p.look()
	}
	return t
}

// refute answers rumours about this node that it did not write: it ran before, and started again
// with a clock that had been set back. It raises its incarnation above the old one, so that others
// accept it again. Two live nodes of one name would drive each other up for ever, so each time
// takes twice as long as the last.
func (p *Partition) refute(at At, inc, seq uint64) {
	t := p.own
	if inc < t.inc || inc == t.inc && seq <= t.seq || at.Mono < p.refuteAt {
		return
	}
	p.refuteGap = min(max(2*p.refuteGap, p.cfg.VectorEvery), 128*p.cfg.VectorEvery)
	p.refuteAt = at.Mono + p.refuteGap
	p.stats.Refutations++
	claims := slices.Collect(p.living(t))
	// Not just inc+1: another run of this node may have raised its own to that, and two
	// runs of one incarnation would be one sequence with two meanings.
	t.inc = inc + 1 + p.cfg.Incarnation%(1<<20)
	t.seq, t.floor, t.log, t.stale = 0, 0, nil, 0
	clear(t.tombs)
	clear(p.withdrawn) // the numbers in it are those of the old incarnation
	p.flushed, p.pending, p.oldest = 0, len(claims), at.Mono
	for _, r := range claims {
		again := *r
		t.seq++
		again.Seq = t.seq
		t.log = append(t.log, &again)
		p.replace(at, r.Name, t.origin, &again, &again)
	}
	for _, node := range p.peers {
		p.send(node, p.vector(false))
	}
}

// receiveUpdate applies an update, or keeps it until the gap before it is closed.
func (p *Partition) receiveUpdate(at At, t *table, u *Update) {
	if u.UpTo <= t.seq {
		return
	}
	if u.After > t.seq {
		p.stats.Gaps++
		p.lacks(at, t, u.UpTo, t.origin)
		p.keep(t, u)
		return
	}
	if t.outdates(u.UpTo) {
		return
	}
	p.advance(at, t, u)
	p.drain(at, t)
	p.aim(at, t)
}

func (p *Partition) advance(at At, t *table, u *Update) {
	p.take(at, t, u.Records, u.UpTo, u.UpTo)
	p.out.Relay = append(p.out.Relay, u)
	p.aim(at, t)
}

// take moves the table on to upTo, by the records in between as they stood at the change asOf. One
// that is not above the watermark is either held already or outdated.
func (p *Partition) take(at At, t *table, records []*Record, upTo, asOf uint64) {
	for _, r := range records {
		if r.Seq <= t.seq {
			continue
		}
		p.apply(at, t, r)
		if !r.Dead {
			t.sure = min(t.sure, asOf)
		}
	}
	t.seq, t.top = max(t.seq, upTo), max(t.top, asOf)
	t.want = max(t.want, t.top)
	t.confirm()
}

// exact reports whether the table is the state of the origin's sequence as of seq.
func (t *table) exact() bool { return t.seq >= t.top && t.sure >= t.hole }

// confirm notes that the table is exact, if it is.
func (t *table) confirm() {
	if t.exact() && t.seq > 0 {
		t.sure, t.hole, t.top, t.check = t.seq, 0, t.seq, nil
	}
}

// outdates reports whether what was true at the change asOf is older than what is shown of a node
// with which this replica has not caught up.
func (t *table) outdates(asOf uint64) bool { return t.visible && !t.caught && asOf < t.target }

// keep holds an update back until the gap before it is closed.
func (p *Partition) keep(t *table, u *Update) {
	i, found := slices.BinarySearchFunc(t.buffer, u, func(a, b *Update) int {
		return cmp.Or(cmp.Compare(a.After, b.After), cmp.Compare(a.UpTo, b.UpTo))
	})
	if found {
		return
	}
	t.buffer = slices.Insert(t.buffer, i, u)
	if len(t.buffer) > p.cfg.Buffered {
		t.buffer = t.buffer[:p.cfg.Buffered] // the furthest goes: a pull brings it again
		p.stats.DroppedBuffered++
	}
}

// drain applies the updates that waited for the gap which was just closed.
func (p *Partition) drain(at At, t *table) {
	for len(t.buffer) > 0 && t.buffer[0].After <= t.seq {
		u := t.buffer[0]
		t.buffer = t.buffer[1:]
		if u.UpTo > t.seq && !t.outdates(u.UpTo) {
			p.advance(at, t, u)
		}
	}
	if len(t.buffer) == 0 {
		t.buffer = nil
	}
	if t.seq >= t.want {
		t.gapAt, t.tries, t.retry = 0, 0, 0
	}
}

// lacks notes that there is more of an origin than is here, and who said so.
func (p *Partition) lacks(at At, t *table, seq uint64, source string) {
	if seq <= t.want && t.want > t.seq {
		return
	}
	t.want = max(t.want, seq)
	t.source = source
	if t.gapAt == 0 {
		t.gapAt = at.Mono
		if t.seq > 0 {
			t.gapAt += p.cfg.GapPatience // it may be on its way
		}
	}
}

// aim shows the table's claims once each of them is as new as the vector that spoke for the origin,
// whether or not there are more.
func (p *Partition) aim(at At, t *table) {
	if !t.up || !t.aimed {
		return
	}
	caught, visible := t.caught, t.visible
	t.caught = t.caught || t.seq >= t.target
	if !t.visible && (t.caught && t.exact() || min(t.sure, t.top) >= t.target && t.seq > 0) {
		p.reveal(at, t, true, 0)
	}
	if t.caught != caught || t.visible != visible {
		p.look()
	}
}

// receiveVector learns how far another node has come, and answers if asked.
func (p *Partition) receiveVector(at At, from string, v *Vector) {
	var theirs, ours Entry
	for _, e := range v.Entries {
		switch e.Origin {
		case from:
			theirs = e
		case p.cfg.Self:
			ours = e
		}
		t := p.authority(at, e.Origin, e.Incarnation, e.Seq)
		if t == nil {
			continue
		}
		if e.Visible && (!t.aimed || e.Seq > t.target && !t.visible && t.pull == nil) {
			t.aimed, t.target = true, e.Seq
		}
		switch {
		case e.Seq <= t.seq:
		case e.Visible:
			p.lacks(at, t, e.Seq, from)
		default: // a sender that is itself on the way there can't help
			p.lacks(at, t, e.Seq, t.origin)
		}
		p.aim(at, t)
	}
	p.spot(from, theirs, ours)
	if v.Reply {
		p.send(from, p.vector(false))
	}
	p.heard(at, from, v.Reply)
	p.pullMore(at)
}

// vector says how far this replica has come with each node that is up.
func (p *Partition) vector(reply bool) *Vector {
	v := &Vector{Reply: reply, Entries: make([]Entry, 0, len(p.peers)+1)}
	for _, node := range p.order {
		if t := p.tables[node]; t.up || t == p.own {
			v.Entries = append(v.Entries, Entry{
				Origin: node, Incarnation: t.inc, Seq: t.seq,
				Visible: t == p.own || t.visible && t.caught && t.exact(),
			})
		}
	}
	return v
}

// Root hashes what vector says, for a [Summary]. Equal roots mean equal vectors, but for one in
// 2^64.
func (p *Partition) Root() uint64 {
	var h xxhash.Digest
	h.Reset()
	b := make([]byte, 0, 64)
	for _, node := range p.order {
		t := p.tables[node]
		if !t.up && t != p.own {
			continue
		}
		b = binary.AppendUvarint(b[:0], uint64(len(node)))
		b = append(b, node...)
		b = binary.BigEndian.AppendUint64(b, t.inc)
		b = binary.BigEndian.AppendUint64(b, t.seq)
		if t.visible {
			b = append(b, 1)
		}
		_, _ = h.Write(b) // never fails
	}
	return h.Sum64()
}

func (p *Partition) hasPeer(node string) bool {
	_, ok := slices.BinarySearchFunc(p.peers, node, strings.Compare)
	return ok
}
