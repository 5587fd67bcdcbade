package deletes

import (
	"cmp"
	"maps"
	"slices"
)

// A message is one message of an exchange, decoded.
type message struct {
	from    uint64 // incarnation of the sender
	more    bool   // the receiver lacks more entries
	acked   uint64 // up to this number the sender has applied the receiver's log
	after   uint64 // up to this number the receiver has applied the sender's log, or must have
	dropped uint64 // the number of entries, the first ones, that stand for dropped entries
	entries []entry
}

// Message returns a message for a node: up to which number its log is applied here, and the entries
// of this node's log that it has not reported. The entries fill maxBytes; at least one is there.
func (b *Book) Message(to uint64, maxBytes int) []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p := b.peer(to)
	m := message{from: b.o.Self, acked: p.received, after: max(p.acked, b.base)}
	if p.acked < b.base {
		for _, incarnation := range slices.Sorted(maps.Keys(b.origins)) {
			if seq := b.origins[incarnation].forgotten; seq > 0 {
				m.entries = append(m.entries, entry{mark{incarnation, seq}, Delete{Kind: missed}, 0})
			}
		}
		m.dropped = uint64(len(m.entries))
	}
	size := 0
	for _, e := range b.entries[m.after-b.base : b.applied-b.base] {
		if size += e.size(); size > maxBytes && size > e.size() {
			m.more = true
			break
		}
		m.entries = append(m.entries, e)
	}
	return m.encode()
}

// Merge applies those deletes of an answer of the node `from` that were not applied here yet. It
// reports whether that node or this one has more for the other. If the message can't be read the
// error is [ErrMalformed], and nothing was done.
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

// Answer merges a message of the node with that name, as Merge merges an answer, and returns the
// answer, made as by Message.
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

// merge does the work of Merge and Answer. node is the sender's name, or empty if it is not known.
func (b *Book) merge(m message, node string) error {
	b.applying.Lock()
	defer b.applying.Unlock()
	list, theirs, reset, err := b.show(m)
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
	b.applyShown()
	if reset {
		b.stats.Resets++
	}
	p := b.peers[m.from]
	if p == nil && node != "" { // it is no member yet: an absentee for the time being
		p = &peer{node: node}
		b.markAbsent(p)
		b.peers[m.from] = p
	}
	if p != nil {
		p.received = max(p.received, m.after+uint64(len(m.entries))-m.dropped)
		p.acked = max(p.acked, m.acked)
		for p.acked >= b.base && p.acked < b.applied {
			if e := b.entries[p.acked-b.base]; e.seq > theirs[e.origin] {
				break
			}
			p.acked++ // the sender has applied its own entries
		}
	}
	b.forgetUnneeded(m.from, len(m.entries) == 0)
	return nil
}

// show adds the new entries of m to the log, without counting them as applied. It returns the
// deletes to apply and, by origin, the latest delete that the sender has applied. If reset is true,
// everything has to be dropped. applying is held.
func (b *Book) show(m message) (list []Delete, theirs map[uint64]uint64, reset bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(m); err != nil {
		return nil, nil, false, err
	}
	for _, e := range m.entries {
		if e.Kind == handover && e.seq <= b.origin(e.origin).applied {
			b.noteHandover(e.handedOver()) // it may stand for dropped entries
		}
	}
	theirs = make(map[uint64]uint64)
	for _, e := range m.entries {
		if e.seq > max(theirs[e.origin], b.origin(e.origin).applied) {
			b.add(e)
			if reset = reset || e.Kind == missed; e.Kind < handover {
				list = append(list, e.Delete)
			}
		}
		theirs[e.origin] = max(theirs[e.origin], e.seq)
	}
	return list, theirs, reset, nil
}

// check returns an error if no honest node could have sent m. mu is held.
func (b *Book) check(m message) error {
	switch {
	case m.from == b.o.Self:
		return malformed("it is from this very incarnation")
	case m.acked > b.applied:
		return malformed("it has applied %d entries of this log, which has %d", m.acked, b.applied)
	}
	for _, e := range m.entries {
		err := b.checkMade(e.mark)
		if e.Kind == handover {
			err = cmp.Or(err, b.checkMade(e.handedOver()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Lacks reports whether a node has not reported all entries that were applied here.
func (b *Book) Lacks(node uint64) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.peers[node] == nil || b.peers[node].acked < b.applied
}

// Reported reports whether a node has reported this node's log up to an entry.
func (b *Book) Reported(by, entry uint64) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.peer(by).acked >= entry
}

// Stats has the counts of a Book.
type Stats struct {
	Applied uint64 // deletes of other nodes that were applied here
	Resets  uint64 // calls of Reset that have dropped something
}

// Stats returns the counters.
func (b *Book) Stats() Stats {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.stats
}
