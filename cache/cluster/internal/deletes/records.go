package deletes

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// keep makes e part of what is kept, unless something later stands for it.
func (l *Log) keep(r *run, e dated) {
	if e.ID.Seq <= r.stood() {
		return
	}
	x := &record{Entry: e.Entry, at: e.at}
	if e.All {
		r.clear, r.floor = x, 0
		l.showCommon()
		l.drop(r, e.ID.Seq)
		return
	}
	same := l.keys[e.Key]
	i := slices.IndexFunc(same, func(y *record) bool { return y.ID.Run == e.ID.Run })
	switch {
	case i < 0:
		l.keys[e.Key] = append(same, x)
	case same[i].ID.Seq > e.ID.Seq:
		return
	default:
		l.unlink(r, same[i])
		same[i] = x
	}
	r.insert(x)
	x.prev, x.next = l.arrival.prev, &l.arrival
	x.prev.next, x.next.prev = x, x
	l.kept++
	l.showKey(e.Key)
	l.trim()
}

// unlink takes x out of all but l.keys and what After shows.
func (l *Log) unlink(r *run, x *record) {
	r.remove(x)
	x.prev.next, x.next.prev = x.next, x.prev
	l.kept--
}

// forget takes x out.
func (l *Log) forget(r *run, x *record) {
	l.unlink(r, x)
	if same := slices.DeleteFunc(l.keys[x.Key], func(y *record) bool { return y == x }); len(same) > 0 {
		l.keys[x.Key] = same
	} else {
		delete(l.keys, x.Key)
	}
	l.showKey(x.Key)
}

// drop takes out the records of a run up to seq.
func (l *Log) drop(r *run, seq uint64) {
	for _, x := range slices.Clone(r.records[:r.later(seq)]) {
		if !x.gone {
			l.forget(r, x)
		}
	}
}

// trim drops the oldest records if there are too many, some more than it must, so that this is seldom.
func (l *Log) trim() {
	if l.kept <= l.o.Max {
		return
	}
	floors := make(map[uint64]dated)
	x := l.arrival.next
	for range l.kept - l.o.Max + l.o.Max/16 {
		if floors[x.ID.Run].ID.Seq < x.ID.Seq {
			floors[x.ID.Run] = dated{x.Entry, x.at}
		}
		x = x.next
	}
	l.raiseFloors(floors)
}

// raiseFloors drops all records of the runs up to these, for which the floors stand then.
func (l *Log) raiseFloors(floors map[uint64]dated) {
	for id, f := range floors {
		if r := l.runs[id]; f.ID.Seq > r.stood() {
			r.floor, r.floorAt, r.clear = f.ID.Seq, f.at, nil
		}
	}
	l.showCommon()
	for id := range floors {
		l.drop(l.runs[id], l.runs[id].stood())
	}
}

// mark and raise are those of a run, and count the spans.
func (l *Log) mark(r *run, first, last uint64) {
	l.spans -= len(r.ahead)
	r.mark(first, last)
	l.spans += len(r.ahead)
}

func (l *Log) raise(r *run, seq uint64) {
	l.spans -= len(r.ahead)
	r.raise(seq)
	l.spans += len(r.ahead)
}

// Expire drops what is older than Options.Retain, and runs of which nothing has been heard for twice as long. The
// other methods do so now and then, so this is only needed where none is called for long.
func (l *Log) Expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(l.now(), true)
}

// expired reports whether what was made then does not matter any more.
func (l *Log) expired(at, now time.Duration) bool { return l.o.Retain > 0 && now-at >= l.o.Retain }

func (l *Log) expire(now time.Duration, runs bool) {
	if l.o.Retain == 0 {
		return
	}
	for x := l.arrival.next; x != &l.arrival && l.expired(x.at, now); x = l.arrival.next {
		l.forget(l.runs[x.ID.Run], x)
	}
	if !runs && now-l.swept < l.o.Retain/8 {
		return
	}
	l.swept = now
	changed := false
	for _, r := range l.runs {
		if r.clear != nil && l.expired(r.clear.at, now) {
			r.clear, changed = nil, true
		}
		if r.floor != 0 && l.expired(r.floorAt, now) {
			r.floor, changed = 0, true
		}
		if r.empty() && r.pending == 0 && r.id != l.o.Run && now-r.last >= 2*l.o.Retain {
			l.lose(r)
		}
	}
	if changed {
		l.showCommon()
	}
}

// lose forgets a run of which nothing is kept.
func (l *Log) lose(r *run) {
	l.spans -= len(r.ahead)
	if r.last >= l.retired {
		l.active--
	}
	delete(l.runs, r.id)
}

// idle reports whether nothing of a run matters any more.
func (l *Log) idle(r *run, now time.Duration) bool {
	return r.empty() && r.pending == 0 && (l.expired(r.last, now) || r.last < l.retired)
}

// tidy keeps to the bounds of what is not in records. One goroutine at a time does that, since what Apply and Reset
// call may get here.
func (l *Log) tidy() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tidying {
		return
	}
	l.tidying = true
	defer func() { l.tidying = false }()
	for l.spans > l.maxSpans {
		f := l.shortcut()
		l.unlocked(func() { l.bring(wanted{floors: []dated{f}}) })
	}
	if l.active > l.maxRuns {
		l.retire()
	}
	if len(l.runs) > 2*l.maxRuns {
		l.loseRetired()
	}
}

// unlocked calls f without the lock that is held.
func (l *Log) unlocked(f func()) {
	l.mu.Unlock()
	defer l.mu.Lock()
	f()
}

// shortcut returns the floor that halves the spans of the run that has the most. With a reset it counts as applied.
func (l *Log) shortcut() dated {
	var most *run
	for _, r := range l.runs {
		if most == nil || len(r.ahead) > len(most.ahead) {
			most = r
		}
	}
	return dated{Entry{ID: ID{most.id, most.ahead[len(most.ahead)/2].last}, All: true}, most.last}
}

// retire makes a clear, which stands for all that is known of all runs. So of those that make no more deletes
// nothing matters any more.
func (l *Log) retire() {
	id, b := l.clear()
	at := l.runs[id.Run].clear.at
	l.unlocked(func() { l.run(b) })
	l.retired, l.active = at, 0
	for _, r := range l.runs {
		if r.last >= at {
			l.active++
		}
	}
}

// loseRetired forgets those runs of which nothing matters since the latest retire, the oldest first. Other nodes
// for which they matter tell this one of them again and again, which costs little.
func (l *Log) loseRetired() {
	runs := slices.SortedFunc(maps.Values(l.runs), func(r, s *run) int { return cmp.Compare(r.last, s.last) })
	for _, r := range runs[:len(runs)-2*l.maxRuns] {
		if r.empty() && r.pending == 0 && r.last < l.retired && r.id != l.o.Run {
			l.lose(r)
		}
	}
}
