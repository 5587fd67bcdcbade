package deletes

import (
	"maps"
	"slices"
)

// A message is what nodes exchange. The version of a node's vector changes with the vector, which
// is left out where the other node has it already.
type message struct {
	from    uint64 // incarnation of the sender
	version uint64 // of its vector
	knows   uint64 // the version of the receiver's vector that the sender has merged
	full    bool   // vector is all of it
	more    bool   // something was left out that the receiver lacks
	vector  []progress
	parts   []part
}

// A progress says up to where the sender has applied the deletes of an origin, and whether it has
// ended the chapter.
type progress struct {
	mark
	ended bool
}

// A part is what the receiver lacks of a chapter.
type part struct {
	origin uint64
	after  uint64 // who has not applied all up to this one must reset
	items  []Delete
}

func (x *part) upTo() uint64 { return x.after + uint64(len(x.items)) }

// Message returns what to send to a node: what is applied here, and what that node has not
// reported. Items fill maxBytes, at least one is there.
func (b *Book) Message(to uint64, maxBytes int) []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p := b.peers[to]
	if p == nil {
		p = &peer{}
	}
	m := message{
		from: b.o.Self, version: b.version, knows: p.theirs,
		full: p.ours != b.version,
	}
	report := slices.Clone(p.mentioned)
	if m.full {
		report = slices.AppendSeq(report, maps.Keys(b.chapters))
	}
	slices.Sort(report)
	for _, origin := range slices.Compact(report) {
		if seq := b.has(origin); seq > 0 {
			m.vector = append(m.vector, progress{mark{origin, seq}, b.chapters[origin] == nil})
		}
	}
	if p.current == b.version {
		return m.encode()
	}
	size := 0
	for _, origin := range slices.Sorted(maps.Keys(b.chapters)) {
		c, reported := b.chapters[origin], p.of(origin)
		if origin == to || reported >= c.applied {
			continue
		}
		x := part{origin: origin, after: max(reported, c.base)}
		for seq := x.after; seq < c.applied; seq++ {
			d := c.items[seq-c.base]
			if size += d.size(); size > maxBytes && size > d.size() {
				m.more = true
				break
			}
			x.items = append(x.items, d)
		}
		if len(x.items) > 0 || reported < x.after {
			m.parts = append(m.parts, x)
		}
	}
	return m.encode()
}

// Merge applies what an answer of the node `from` has that was not applied here yet. It reports
// whether that node or this one has more for the other. If the message makes no sense the error is
// [ErrMalformed], and nothing was done.
func (b *Book) Merge(from uint64, answer []byte) (more bool, err error) {
	m, err := decode(answer)
	if err != nil {
		return false, err
	}
	if m.from != from {
		return false, malformed("it is from incarnation %x, and not %x", m.from, from)
	}
	if err := b.merge(m, ""); err != nil {
		return false, err
	}
	return m.more || b.Lacks(from), nil
}

// Answer does for a message of a node, which has that name, what Merge does for an answer, and
// returns the answer, made as Message makes it.
func (b *Book) Answer(node string, data []byte, maxBytes int) ([]byte, error) {
	m, err := decode(data)
	if err != nil {
		return nil, err
	}
	if err := b.merge(m, node); err != nil {
		return nil, err
	}
	return b.Message(m.from, maxBytes), nil
}

// merge does the work of Merge and Answer. node is the sender's name, empty if that is not known.
func (b *Book) merge(m message, node string) error {
	b.applying.Lock()
	defer b.applying.Unlock()
	list, reset, err := b.show(m)
	if err != nil {
		return err
	}
	switch {
	case reset:
		reset = b.o.Reset()
	case len(list) > 0:
		b.o.Apply(list)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if reset {
		b.resets++
	}
	b.finish(m, node)
	return nil
}

// show adds what m has to the chapters, without counting it as applied, and returns what is to be
// applied. With reset, that is to drop everything. applying is held.
func (b *Book) show(m message) (list []Delete, reset bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(m); err != nil {
		return nil, false, err
	}
	changed := false
	for i := range m.parts {
		x := &m.parts[i]
		have := b.has(x.origin)
		if x.after <= have && x.upTo() <= have {
			continue
		}
		changed = true
		c := b.chapters[x.origin]
		if c == nil {
			c = &chapter{base: have, applied: have}
			b.chapters[x.origin] = c
		}
		if have < x.after {
			reset = true
			b.drop(c, x.after)
			have = x.after
		}
		for _, d := range x.items[have-x.after:] {
			b.add(c, d)
			if d.Kind != handover {
				list = append(list, d)
			}
		}
	}
	if changed {
		b.version++
	}
	for _, x := range b.handovers(m) {
		have := b.handed[x.of.origin].upTo
		if c := b.chapters[x.of.origin]; c != nil {
			have = c.shown()
		}
		if have < x.of.seq {
			reset = true // it lacks what was handed over
		}
	}
	return list, reset, nil
}

// check returns an error if m can't be. mu is held.
func (b *Book) check(m message) error {
	if m.from == b.o.Self {
		return malformed("it is from this very incarnation")
	}
	for _, x := range m.vector {
		if err := b.made(x.mark); err != nil {
			return err
		}
	}
	for i := range m.parts {
		if err := b.made(mark{m.parts[i].origin, m.parts[i].upTo()}); err != nil {
			return err
		}
	}
	for _, x := range b.handovers(m) {
		if err := b.made(x.of); err != nil {
			return err
		}
	}
	return nil
}

// A transfer is a handover: of what, and in which delete.
type transfer struct{ of, in mark }

// handovers returns those in m that are not applied here. mu is held.
func (b *Book) handovers(m message) (list []transfer) {
	for i := range m.parts {
		x := &m.parts[i]
		for j, d := range x.items {
			in := mark{x.origin, x.after + uint64(j) + 1}
			if d.Kind == handover && in.seq > b.has(x.origin) {
				of, _ := decodeMark(d.Key)
				list = append(list, transfer{of, in})
			}
		}
	}
	return list
}

// finish counts what m has as applied, and notes what its sender has reported. applying and mu are
// held.
func (b *Book) finish(m message, node string) {
	for _, x := range b.handovers(m) {
		b.hand(x.of, x.in)
	}
	changed := false
	for i := range m.parts {
		c := b.chapters[m.parts[i].origin]
		if c == nil || c.applied == c.shown() {
			continue
		}
		changed = true
		for seq := max(c.applied, c.base); seq < c.shown(); seq++ {
			if c.items[seq-c.base].Kind != handover {
				b.applied++
			}
		}
		c.applied = c.shown()
	}
	if changed {
		b.version++
	}
	p := b.peers[m.from]
	if p == nil && node != "" { // it is not seen yet: an absentee for the time being
		p = b.count(m.from)
		p.node, p.away = node, true
		b.absent = append(b.absent, m.from)
		b.forgetAbsentees()
	}
	if p != nil {
		b.note(p, m)
	}
	b.settle()
	if p != nil && b.hasAll(m.from, p) {
		p.current = b.version
	}
}

// note notes what the sender of m has reported. mu is held.
func (b *Book) note(p *peer, m message) {
	p.mentioned = nil
	for i := range m.parts {
		p.mentioned = append(p.mentioned, m.parts[i].origin)
	}
	listed := make(map[uint64]bool, len(m.vector))
	for _, x := range m.vector {
		if b.chapters[x.origin] == nil && !x.ended { // else the full vector has it
			p.mentioned = append(p.mentioned, x.origin)
		}
		listed[x.origin] = !x.ended
		p.reported[x.origin] = max(p.reported[x.origin], x.seq)
	}
	for origin := range p.reported {
		there, mentioned := listed[origin]
		if !mentioned && !m.full {
			continue
		}
		if c := b.chapters[origin]; c != nil {
			c.endedElsewhere = c.endedElsewhere || !there
		} else if !there {
			delete(p.reported, origin) // neither of the two has it
		}
	}
	if p.ours = m.knows; m.full {
		p.theirs = max(p.theirs, m.version)
	}
}

// hasAll reports whether p has reported all that is shown here. mu is held.
func (b *Book) hasAll(incarnation uint64, p *peer) bool {
	for origin, c := range b.chapters {
		if origin != incarnation && p.reported[origin] < c.shown() {
			return false
		}
	}
	return true
}

// Lacks reports whether a node has not reported all that was applied here.
func (b *Book) Lacks(node uint64) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p := b.peers[node]
	return p == nil || p.current != b.version && !b.hasAll(node, p)
}

// Reported reports whether a node has applied this node's deletes up to one.
func (b *Book) Reported(by, seq uint64) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.peers[by].of(b.o.Self) >= seq
}

// Stats are the counters of a Book.
type Stats struct {
	Kept    int    // deletes of which the details are kept
	Origins int    // of chapters, with this node
	Applied uint64 // deletes of other nodes that were applied here
	Resets  uint64 // how often a Reset has dropped something
}

// Stats returns the counters.
func (b *Book) Stats() Stats {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return Stats{b.kept, len(b.chapters), b.applied, b.resets}
}
