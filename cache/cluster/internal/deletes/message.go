package deletes

import "time"

// A message is what nodes exchange.
type message struct {
	from, to uint64 // runs; to is 0 if nothing is taken for known
	vector   []progress
	chapters []chapter
}

// A chapter is what the other node lacks of the deletes of a run.
type chapter struct {
	run     uint64
	age     time.Duration // of the newest delete that is known
	floor   uint64        // all up to this one must be applied, by a reset; 0: none
	floored time.Duration // its age
	clear   uint64        // a clear; 0: none
	cleared time.Duration // its age
	entries []aged        // by Seq
	// complete: who has applied this, and had applied what the message takes for known, has applied all that the
	// sender's vector has of the run. For the deletes that are not listed others that are stand, or they have
	// expired.
	complete bool

	stood bool // a clear that was made later is applied here and stands for all of it, see retire; not in the message
}

// aged is an entry of a chapter.
type aged struct {
	seq uint64
	age time.Duration
	key string
}

// Message returns this Log's Vector together with what a node with the Vector known lacks. The entries fill
// maxBytes, but there is at least one, so that who goes on exchanging messages gets through; more reports whether
// some were left out. See MinMessage about the other parts.
//
// The Vector known is what Merge returned for the latest message of that node; the zero Vector if there was none.
func (l *Log) Message(known Vector, maxBytes int) (data []byte, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.expire(now, true)
	m := message{from: l.o.Run, to: known.run, vector: l.vector(now).runs}
	var lacking [][]*record
	for _, p := range m.vector {
		r := l.runs[p.run]
		c, records := l.chapter(r, known.of(p.run), now)
		c.complete = !known.of(p.run).coversAll(p)
		news := c.complete || c.floor != 0 || c.clear != 0 || len(records) > 0
		if p.idle || !news {
			continue
		}
		m.chapters = append(m.chapters, c)
		lacking = append(lacking, records)
	}
	size := m.size()
	first := true
	for i, records := range lacking {
		c := &m.chapters[i]
		for _, x := range records {
			a := aged{x.ID.Seq, now - x.at, x.Key}
			if size += a.size(); size > maxBytes && !first {
				more, c.complete = true, false
				break
			}
			first = false
			c.entries = append(c.entries, a)
		}
	}
	return m.encode(), more
}

// chapter returns what a node with that progress lacks of a run, and the records of which the entries are to be made.
func (l *Log) chapter(r *run, known progress, now time.Duration) (c chapter, records []*record) {
	c = chapter{run: r.id, age: now - r.last}
	if known.applied < r.floor {
		c.floor, c.floored = r.floor, now-r.floorAt
	}
	if r.clear != nil && known.applied < r.clear.ID.Seq {
		c.clear, c.cleared = r.clear.ID.Seq, now-r.clear.at
	}
	for _, x := range r.records[r.later(known.applied):] {
		if !x.gone && !known.covers(x.ID.Seq) && !l.expired(x.at, now) {
			records = append(records, x)
		}
	}
	return c, records
}

// Merge applies what a Message of another node has that is not applied here yet, and returns the Vector of that
// node. When it returns, all of it has been applied, also if another goroutine was at it. If the message makes no
// sense the error is [ErrMalformed], and nothing was done.
func (l *Log) Merge(data []byte) (theirs Vector, err error) {
	m, err := decode(data)
	if err != nil {
		return Vector{}, err
	}
	w, chapters, err := l.admit(m)
	if err != nil {
		return Vector{}, err
	}
	l.bring(w)
	theirs = Vector{run: m.from, runs: m.vector}
	l.takeOver(theirs, chapters, m.to == 0 || m.to == l.o.Run)
	l.tidy()
	return theirs, nil
}

// admit checks what only this Log can, and returns the chapters that matter and what is to be applied of them.
func (l *Log) admit(m message) (w wanted, chapters []chapter, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.from == l.o.Run {
		return w, nil, malformed("it is from this very run")
	}
	for _, p := range m.vector {
		if err := l.own(ID{p.run, p.top()}); err != nil {
			return w, nil, err
		}
	}
	now := l.now()
	l.expire(now, false)
	for _, c := range m.chapters {
		if err := l.own(ID{c.run, c.top()}); err != nil {
			return w, nil, err
		}
		if l.runs[c.run] == nil && now-c.age < l.retired {
			c.stood = true
			chapters = append(chapters, c)
			continue
		}
		chapters = append(chapters, c)
		add := func(to []dated, seq uint64, all bool, key string, age time.Duration) []dated {
			return append(to, dated{Entry{ID{c.run, seq}, all, key}, now - age})
		}
		if c.floor != 0 {
			w.floors = add(w.floors, c.floor, true, "", c.floored)
		}
		if c.clear != 0 {
			w.entries = add(w.entries, c.clear, true, "", c.cleared)
		}
		for _, a := range c.entries {
			w.entries = add(w.entries, a.seq, false, a.key, a.age)
		}
	}
	return w, chapters, nil
}

// takeOver notes that with the complete chapters all has been applied that the vector has, if the message was made
// for this run.
func (l *Log) takeOver(v Vector, chapters []chapter, forUs bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, c := range chapters {
		if known := c.stood || c.complete && forUs; !known {
			continue
		}
		r, p := l.of(c.run, now-c.age), v.of(c.run)
		l.raise(r, p.applied)
		for _, s := range p.ahead {
			l.mark(r, s.first, s.last)
		}
	}
}

// top returns the latest of the deletes.
func (p progress) top() uint64 {
	if n := len(p.ahead); n > 0 {
		return p.ahead[n-1].last
	}
	return p.applied
}

func (c chapter) top() uint64 {
	top := max(c.floor, c.clear)
	if n := len(c.entries); n > 0 {
		top = max(top, c.entries[n-1].seq)
	}
	return top
}
