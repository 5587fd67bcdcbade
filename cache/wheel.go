package cache

import (
	"math/bits"
	"math/rand/v2"
	"time"
)

// A wheel orders the entries of a shard by expiry, approximately: it is a hierarchical
// timing wheel (Varghese and Lauck, SOSP 1987), as in Caffeine and otter. Adding and
// removing take constant time. The shard's lock guards it.
//
// A bucket of level 0 covers one tick, and a bucket of each other level covers 64 times as
// much as one of the level below. When the time of a bucket of a higher level comes, its
// entries are spread over the levels below, a few at a time, so that a million entries of
// one tick do not block the shard. Each level has a bit for each bucket that holds entries,
// so that a time without entries is crossed in one step, however long.
//
// Buckets are slices, and an entry has its position in its bucket: when it is removed, the
// bucket's last entry takes its place.
type wheel[K comparable, V any] struct {
	delay    time.Duration // an entry's time is the end of its TTL plus delay
	mark     uint32        // a bit that is set in the bucket of this wheel's entries, or 0
	tick     int64         // the start of the last bucket reached
	draining bool          // that bucket may still hold entries
	levels   [wheelLevels]*wheelLevel[K, V]
	due      []*entry[K, V] // the entries of the present and earlier ticks
	n        int
}

type wheelLevel[K comparable, V any] struct {
	occupied uint64 // a bit for each bucket that holds entries
	buckets  [wheelSlots][]*entry[K, V]
}

const (
	tickBits    = 20 // a tick is 2^20 ns, about a millisecond
	slotBits    = 6
	wheelSlots  = 1 << slotBits
	wheelLevels = 8 // 2^(20+6·8) ns is more than the range of the clock
	dueBucket   = wheelLevels * wheelSlots

	inStale = 1 << 31 // the mark of a shard's wheel of stale entries
)

// timeOf returns e's time in w.
func (w *wheel[K, V]) timeOf(e *timedEntry[K, V]) int64 { return addTime(e.expires, w.delay) }

// add adds an entry whose time is not negative.
func (w *wheel[K, V]) add(e *entry[K, V]) {
	t := e.timed()
	id, b := w.bucketOf(t), &w.due
	if id != dueBucket {
		level, slot := id/wheelSlots, id%wheelSlots
		if w.levels[level] == nil {
			w.levels[level] = new(wheelLevel[K, V])
		}
		w.levels[level].occupied |= 1 << slot
		b = &w.levels[level].buckets[slot]
	}
	t.bucket, t.pos = id|w.mark, uint32(len(*b)) //nolint:gosec // entries fit in memory
	*b = append(*b, e)
	w.n++
}

// bucketOf returns the number of the bucket for e.
func (w *wheel[K, V]) bucketOf(e *timedEntry[K, V]) uint32 {
	tick := w.timeOf(e) >> tickBits
	if tick <= w.tick {
		return dueBucket
	}
	// The highest digit, in base 64, in which tick and w.tick differ.
	level := (bits.Len64(uint64(tick^w.tick)) - 1) / slotBits
	slot := int(tick >> (slotBits * level) & (wheelSlots - 1))
	return uint32(level*wheelSlots + slot) //nolint:gosec // small
}

// replace puts e in old's place, if both belong into the same bucket, and reports whether it
// did. It saves the cache misses of removing old, whose place another entry would take.
func (w *wheel[K, V]) replace(old, e *entry[K, V]) bool {
	from, to := old.timed(), e.timed()
	id := w.bucketOf(to)
	if from.bucket != id|w.mark {
		return false
	}
	b := w.due
	if id != dueBucket {
		b = w.levels[id/wheelSlots].buckets[id%wheelSlots]
	}
	to.bucket, to.pos = from.bucket, from.pos
	b[from.pos] = e
	return true
}

// remove removes an entry, which must be in the wheel.
func (w *wheel[K, V]) remove(e *entry[K, V]) {
	t := e.timed()
	if id := t.bucket &^ inStale; id == dueBucket {
		w.due = removeAt(w.due, t.pos)
	} else {
		l, slot := w.levels[id/wheelSlots], id%wheelSlots
		l.buckets[slot] = removeAt(l.buckets[slot], t.pos)
		if len(l.buckets[slot]) == 0 {
			l.occupied &^= 1 << slot
		}
	}
	w.n--
}

// removeAt returns b without the entry at pos, whose place the last one takes. It reallocates
// b if that has become much too large.
func removeAt[K comparable, V any](b []*entry[K, V], pos uint32) []*entry[K, V] {
	last := len(b) - 1
	b[pos] = b[last]
	b[pos].timed().pos = pos
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

// advance moves the entries whose time comes up to the tick of now to due, at most moves of
// them, and reports whether more have to be moved.
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
		// Take from the end of the bucket. add puts these entries into other buckets,
		// since their digit in this level now equals w.tick's.
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

// nextBucket returns the bucket with entries that is to be drained next, and the tick at
// which it begins. level is negative if all buckets are empty.
func (w *wheel[K, V]) nextBucket() (level, slot int, start int64) {
	level = -1
	for i, l := range w.levels {
		if l == nil {
			continue
		}
		digits := w.tick >> (slotBits * i)
		// All entries of this level have w.tick's higher digits, and in this level a
		// digit not below w.tick's.
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

// maxLookupMoves bounds the time that expired takes.
const maxLookupMoves = 64

// expired returns an entry whose time has come at now, or nil. One tick may have many entries,
// of which it looks at a few, so it may miss some.
func (w *wheel[K, V]) expired(now int64) *entry[K, V] {
	if w.n == 0 {
		return nil
	}
	w.advance(now, maxLookupMoves)
	const looks = 8
	for i := range min(looks, len(w.due)) {
		if e := w.due[len(w.due)-1-i]; w.timeOf(e.timed()) <= now {
			return e
		}
	}
	return nil
}

// first returns the entry, other than spared, whose time comes the soonest, or nil if there is
// none. Among many whose times are near each other it looks at a few.
func (w *wheel[K, V]) first(spared *entry[K, V]) (first *entry[K, V]) {
	b := w.due
	if len(b) == 0 {
		level, slot, _ := w.nextBucket()
		if level < 0 {
			return nil
		}
		b = w.levels[level].buckets[slot]
	}
	const looks = 8
	for i := range min(looks, len(b)) {
		e := b[i]
		if len(b) > looks {
			e = b[rand.IntN(len(b))] //nolint:gosec // no secret
		}
		if e != spared && (first == nil || e.expiry() < first.expiry()) {
			first = e
		}
	}
	return first
}
