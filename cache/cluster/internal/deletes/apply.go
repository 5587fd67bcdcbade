package deletes

import "time"

// A dated entry is one with the time at which it was made, at the latest.
type dated struct {
	Entry
	at time.Duration
}

// wanted is what has to be applied.
type wanted struct {
	entries []dated
	floors  []dated // all deletes of a run up to this one, which are not there to be applied one by one
}

// A step is an entry or a floor that is being applied.
type step struct {
	id    ID
	floor bool
}

// A batch is what one goroutine applies. Others who want the same wait for it.
type batch struct {
	entries []Entry
	floors  []ID
	done    chan struct{}
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// bring applies what is wanted and not applied yet, and returns when that has been done, by whomever.
func (l *Log) bring(w wanted) {
	for {
		b, others := l.begin(w)
		if len(b.entries)+len(b.floors) > 0 {
			l.run(b)
		}
		if len(others) == 0 {
			return
		}
		for _, done := range others {
			<-done
		}
		// If one of them panicked, what it had to do is not done yet.
	}
}

// begin shows what is wanted to After, and returns what the caller has to apply, and whom it has to wait for.
func (l *Log) begin(w wanted) (b *batch, others []chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b = newBatch()
	for _, f := range w.floors {
		switch r := l.of(f.ID.Run, f.at); {
		case f.ID.Seq <= r.applied:
		case l.pending[step{f.ID, true}] != nil:
			others = append(others, l.pending[step{f.ID, true}].done)
		default:
			b.floors = append(b.floors, f.ID)
			l.pending[step{f.ID, true}] = b
			r.pending++
			l.raiseFloors(map[uint64]dated{f.ID.Run: f})
		}
	}
	for _, e := range w.entries {
		switch r := l.of(e.ID.Run, e.at); {
		case r.covers(e.ID.Seq) && (!e.All || e.ID.Seq <= r.applied):
		case l.pending[step{e.ID, false}] != nil:
			others = append(others, l.pending[step{e.ID, false}].done)
		case !e.All && l.laterApplied(r, e.Entry):
			l.mark(r, e.ID.Seq, e.ID.Seq)
		default:
			l.add(b, e)
		}
	}
	return b, others
}

// laterApplied reports whether a later delete of the same key and run has been applied: that one stands for e.
func (l *Log) laterApplied(r *run, e Entry) bool {
	for _, x := range l.keys[e.Key] {
		if x.ID.Run == e.ID.Run {
			return x.ID.Seq > e.ID.Seq && r.covers(x.ID.Seq)
		}
	}
	return false
}

// add shows e to After, and makes it the batch's to apply.
func (l *Log) add(b *batch, e dated) {
	r := l.of(e.ID.Run, e.at)
	b.entries = append(b.entries, e.Entry)
	l.pending[step{e.ID, false}] = b
	r.pending++
	l.keep(r, e)
}

// run applies a batch. Only then do vectors show it.
func (l *Log) run(b *batch) {
	ok := false
	defer func() { l.finish(b, ok) }()
	if len(b.floors) > 0 {
		l.resets.Add(1)
		l.o.Reset() // for the entries as well
	} else {
		l.o.Apply(b.entries)
	}
	ok = true
}

// finish notes that a batch has been applied, if it has, and lets go those who wait for it.
func (l *Log) finish(b *batch, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(b.done)
	for _, id := range b.floors {
		r := l.runs[id.Run]
		r.pending--
		delete(l.pending, step{id, true})
		if ok {
			l.raise(r, id.Seq)
		}
	}
	for _, e := range b.entries {
		r := l.runs[e.ID.Run]
		r.pending--
		delete(l.pending, step{e.ID, false})
		switch {
		case !ok:
			continue
		case e.All: // it stands for all before
			l.raise(r, e.ID.Seq)
		default:
			l.mark(r, e.ID.Seq, e.ID.Seq)
		}
		if e.ID.Run != l.o.Run {
			l.applied.Add(1)
		}
	}
}
