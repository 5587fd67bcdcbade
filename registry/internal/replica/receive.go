package replica

import (
	"cmp"
	"encoding/binary"
	"maps"
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
		p.answerCheck(from, m)
	case *Standing:
		if t := p.authority(at, m.Origin, m.Incarnation, m.AsOf); t != nil {
			p.receiveStanding(at, t, from, m)
		}
	}
}

// authority returns the table that a message about an origin belongs to. It returns nil if the
// message must be ignored: it is about a node that is not up, an incarnation that is over, or this
// node.
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
		p.countBehind()
	}
	return t
}

// refute raises the incarnation of this node if others know more of it than it wrote: it ran
// before, and its clock was set back before it started again. Others accept it then. Two live nodes
// with the same name would keep raising their incarnations, so each time waits twice as long as the
// last.
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
		p.noteMissing(at, t, u.UpTo, t.origin)
		p.bufferUpdate(t, u)
		return
	}
	if t.outdates(u.UpTo) {
		return
	}
	p.applyUpdate(at, t, u)
	p.applyBuffered(at, t)
	p.showWhenCaughtUp(at, t)
}

// applyUpdate applies an update that has no gap before it, and lets gossip pass it on.
func (p *Partition) applyUpdate(at At, t *table, u *Update) {
	p.applyRecords(at, t, u.Records, u.UpTo, u.UpTo)
	p.out.Relay = append(p.out.Relay, u)
	p.showWhenCaughtUp(at, t)
}

// applyRecords moves the table on to upTo, by the records in between as they stood at the change
// asOf. A record that is not above the watermark is held already, or outdated.
func (p *Partition) applyRecords(at At, t *table, records []*Record, upTo, asOf uint64) {
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

// confirm resets sure, hole and top if the table is exact.
func (t *table) confirm() {
	if t.exact() && t.seq > 0 {
		t.sure, t.hole, t.top, t.check = t.seq, 0, t.seq, nil
	}
}

// outdates reports whether the state at the change asOf is older than what the table shows: it
// shows claims of a node with which it has not caught up.
func (t *table) outdates(asOf uint64) bool { return t.visible && !t.caught && asOf < t.target }

// bufferUpdate keeps an update until the gap before it is closed.
func (p *Partition) bufferUpdate(t *table, u *Update) {
	i, found := slices.BinarySearchFunc(t.buffer, u, func(a, b *Update) int {
		return cmp.Or(cmp.Compare(a.After, b.After), cmp.Compare(a.UpTo, b.UpTo))
	})
	if found {
		return
	}
	t.buffer = slices.Insert(t.buffer, i, u)
	if len(t.buffer) > p.cfg.Buffered {
		t.buffer = t.buffer[:p.cfg.Buffered] // a pull brings the furthest again
		p.stats.DroppedBuffered++
	}
}

// applyBuffered applies the updates that waited for a gap which is closed now.
func (p *Partition) applyBuffered(at At, t *table) {
	for len(t.buffer) > 0 && t.buffer[0].After <= t.seq {
		u := t.buffer[0]
		t.buffer = t.buffer[1:]
		if u.UpTo > t.seq && !t.outdates(u.UpTo) {
			p.applyUpdate(at, t, u)
		}
	}
	if len(t.buffer) == 0 {
		t.buffer = nil
	}
	if t.seq >= t.want {
		t.gapAt, t.tries, t.retry = 0, 0, 0
	}
}

// noteMissing notes that the origin has come as far as seq, and which node said so.
func (p *Partition) noteMissing(at At, t *table, seq uint64, source string) {
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

// showWhenCaughtUp shows the table's claims once each of them is as new as the vector that spoke
// for the origin, whether or not there are more.
func (p *Partition) showWhenCaughtUp(at At, t *table) {
	if !t.up || !t.hasTarget {
		return
	}
	caught, visible := t.caught, t.visible
	t.caught = t.caught || t.seq >= t.target
	if !t.visible && (t.caught && t.exact() || min(t.sure, t.top) >= t.target && t.seq > 0) {
		p.reveal(at, t, true, 0)
	}
	if t.caught != caught || t.visible != visible {
		p.countBehind()
	}
}

// receiveVector notes what this replica lacks of what another one has, and answers if asked to.
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
		if e.Visible && (!t.hasTarget || e.Seq > t.target && !t.visible && t.pull == nil) {
			t.hasTarget, t.target = true, e.Seq
		}
		switch {
		case e.Seq <= t.seq:
		case e.Visible:
			p.noteMissing(at, t, e.Seq, from)
		default: // a sender that has not caught up itself can't help
			p.noteMissing(at, t, e.Seq, t.origin)
		}
		p.showWhenCaughtUp(at, t)
	}
	p.detectBothKept(from, theirs, ours)
	if v.Reply {
		p.send(from, p.vector(false))
	}
	p.abandonPulls(at, from, v.Reply)
	p.pullMore(at)
}

// detectBothKept reports a resolver that lets both nodes keep a name: the other's vector says that
// it has our claim, shows it, and has not withdrawn its own.
func (p *Partition) detectBothKept(from string, theirs, ours Entry) {
	t := p.tables[from]
	if t == nil || !t.visible || !t.exact() || !ours.Visible || ours.Incarnation != p.own.inc ||
		theirs.Incarnation != t.inc || theirs.Seq != t.seq {
		return
	}
	for _, name := range p.unresolvedNames() {
		own, other := p.Own(name), p.claim(name, from)
		if own == nil || other == nil || ours.Seq < own.Seq {
			continue
		}
		loss := Loss{Own: other, Winner: own}
		if p.disagreed[name] != loss {
			p.disagreed[name] = loss
			p.disagree(name, loss)
		}
	}
}

// unresolvedNames returns the names on which the own claim wins while another visible one stands,
// sorted.
func (p *Partition) unresolvedNames() []string { return slices.Sorted(maps.Keys(p.unresolved)) }

// vector returns how far this replica has come with each node that is up.
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

// Root returns the hash of this replica's vector, for a [Summary].
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
