package replica

import "time"

// Pending returns how many names changed here that Flush has not handed out yet, and when the first
// of them did.
func (p *Partition) Pending() (names int, since time.Duration) { return p.pending, p.oldest }

// Queued reports whether a change of the name waits for Flush; another change of it then takes no
// more room.
func (p *Partition) Queued(name string) bool {
	was := p.Own(name)
	if was == nil {
		was = p.own.tombs[name]
	}
	return was != nil && was.Seq > p.flushed
}

// Flush returns own changes for all other nodes, oldest first, as updates of about maxBytes each (a
// larger record has one of its own), at most n of them; n <= 0: all.
func (p *Partition) Flush(maxBytes, n int) []*Update {
	t := p.own
	var updates []*Update
	for i := t.after(p.flushed); p.flushed < t.seq && (n <= 0 || len(updates) < n); {
		u := &Update{Origin: t.origin, Incarnation: t.inc, After: p.flushed, UpTo: t.seq}
		size := 0
		for ; i < len(t.log); i++ {
			r := t.log[i]
			if !p.current(t, r) {
				continue
			}
			if size > 0 && size+sizeOf(r) > maxBytes {
				u.UpTo = u.Records[len(u.Records)-1].Seq
				break
			}
			size += sizeOf(r)
			u.Records = append(u.Records, r)
		}
		p.flushed = u.UpTo
		p.pending -= len(u.Records)
		updates = append(updates, u)
		p.stats.Sent[KindUpdate]++
	}
	p.dropTombstones(t)
	p.compact(t)
	return updates
}

// sizeOf returns an upper estimate of a record's bytes on the wire.
func sizeOf(r *Record) int {
	n := len(r.Name) + len(r.Meta) + 24
	if r.Verdict != nil {
		n += len(r.Verdict.Winner) + 24
	}
	return n
}
