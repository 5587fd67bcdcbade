package cache

import "math/bits"

// A wheel orders the entries of a shard by expiry, well enough: a hierarchical
// timing wheel (Varghese and Lauck, SOSP 1987), as in Caffeine and otter. To add
// and to remove takes the same time however many there are. It is guarded by
// the shard's lock.
//
// A bucket of level 0 is for one tick, and one of the next level for 64 times
// that of the level below. When the time comes to a bucket of a higher level its
// entries are spread over the levels below, a few at a time, so that a million
// entries of one moment hold nobody up. Each level knows which of its buckets
// hold something: time without entries is crossed in one step, however long.
//
// Buckets are slices, and an entry knows its place in one: removal puts the last
// into the gap.
type wheel[K comparable, V any] struct {
	tick     int64 // up to which the buckets have been reached
	draining bool  // the bucket that was reached last may hold something still
	levels   [wheelLevels]*wheelLevel[K, V]
	due      []*entry[K, V] // their tick has passed, or is the present one
	n        int
}

type wheelLevel[K comparable, V any] struct {
	occupied uint64 // a bit for each bucket that holds something
	buckets  [wheelSlots][]*entry[K, V]
}

const (
	tickBits    = 20 // a tick is 2^20 ns, about a millisecond
	slotBits    = 6
	wheelSlots  = 1 << slotBits
	wheelLevels = 8 // 2^(20+6·8) ns is more than the clock has
	dueBucket   = wheelLevels * wheelSlots
)

// add takes in an entry that expires.
func (w *wheel[K, V]) add(e *entry[K, V]) {
	t := e.timed()
	tick := t.expires >> tickBits
	id, b := uint32(dueBucket), &w.due
	if tick > w.tick {
		// The highest digit, in base 64, in which the two differ.
		level := (bits.Len64(uint64(tick^w.tick)) - 1) / slotBits
		slot := int(tick >> (slotBits * level) & (wheelSlots - 1))
		if w.levels[level] == nil {
			w.levels[level] = new(wheelLevel[K, V])
		}
		w.levels[level].occupied |= 1 << slot
		id, b = uint32(level*wheelSlots+slot), &w.levels[level].buckets[slot] //nolint:gosec // small
	}
	t.bucket, t.pos = id, uint32(len(*b)) //nolint:gosec // entries fit in memory
	*b = append(*b, e)
	w.n++
}

// remove takes out an entry that is in.
func (w *wheel[K, V]) remove(e *entry[K, V]) {
	t := e.timed()
	if t.bucket == dueBucket {
		w.due = removeAt(w.due, t.pos)
	} else {
		l, slot := w.levels[t.bucket/wheelSlots], t.bucket%wheelSlots
		l.buckets[slot] = removeAt(l.buckets[slot], t.pos)
		if len(l.buckets[slot]) == 0 {
			l.occupied &^= 1 << slot
		}
	}
	w.n--
}

// without returns b with its last entry in the place of the one at at, and in
// less room if there was much too much.
func removeAt[K comparable, V any](b []*entry[K, V], at uint32) []*entry[K, V] {
	last := len(b) - 1
	b[at] = b[last]
	b[at].timed().pos = at
	b[last] = nil
	b = b[:last]
	switch {
	case last == 0:
		return nil
	case last < cap(b)/4 && cap(b) >= minShrinkSize:
		return append(make([]*entry[K, V], 0, 2*last), b...)
	}
	return b
}

// advance moves to due what expires up to the tick of now, or a part of that: it
// moves at most so many entries, and reports whether there are more to move.
func (w *wheel[K, V]) advance(now int64, moves int) (more bool) {
	tick := now >> tickBits
	for w.draining || w.tick < tick {
		level, slot, start := w.nextBucket()
		if level < 0 || start > tick {
			w.tick, w.draining = max(w.tick, tick), false
			return false
		}
		w.tick, w.draining = start, true
		if moves == 0 {
			return true
		}
		l := w.levels[level]
		from := l.buckets[slot]
		n := min(moves, len(from))
		moves -= n
		// Those of the end, which are added to other buckets: none of them
		// has the digit of tick in this level any more.
		for i := len(from) - 1; i >= len(from)-n; i-- {
			w.n--
			w.add(from[i])
			from[i] = nil
		}
		l.buckets[slot] = from[:len(from)-n]
		if n == len(from) {
			l.buckets[slot] = nil
			l.occupied &^= 1 << slot
		}
	}
	return false
}

// next is the bucket that time reaches next, or has reached, and the tick at
// which it begins; its level is negative if all are empty.
func (w *wheel[K, V]) nextBucket() (level, slot int, start int64) {
	level = -1
	for i, l := range w.levels {
		if l == nil {
			continue
		}
		digits := w.tick >> (slotBits * i)
		// All that is in has the present higher digits, and a digit of this
		// level that is not below the present one.
		ahead := l.occupied &^ (1<<(digits%wheelSlots) - 1)
		if ahead == 0 {
			continue
		}
		first := bits.TrailingZeros64(ahead)
		at := (digits&^(wheelSlots-1) | int64(first)) << (slotBits * i)
		if level < 0 || at < start {
			level, slot, start = i, first, at
		}
	}
	return level, slot, start
}

// lookMoves bounds what it costs to look for an entry that has expired.
const maxLookupMoves = 64

// expired returns an entry whose time is up at now, or nil. It does not look
// long, since those of one tick may be many: there may be others.
func (w *wheel[K, V]) expired(now int64) *entry[K, V] {
	if w.n == 0 {
		return nil
	}
	w.advance(now, maxLookupMoves)
	const looks = 8
	for i := range min(looks, len(w.due)) {
		if e := w.due[len(w.due)-1-i]; e.timed().expires <= now {
			return e
		}
	}
	return nil
}

// size is how many entries there is room for.
func (w *wheel[K, V]) room() int {
	n := cap(w.due)
	for _, l := range w.levels {
		if l != nil {
			for slot := range l.buckets {
				n += cap(l.buckets[slot])
			}
		}
	}
	return n
}
