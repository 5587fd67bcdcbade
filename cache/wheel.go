package cache

import "math/bits"

// A wheel orders the entries of a shard by expiry, well enough: a hierarchical
// timing wheel (Varghese and Lauck, SOSP 1987), as in Caffeine and otter. To add
// and to remove takes the same time however many there are. It is guarded by
// the shard's lock.
//
// A bucket of level 0 is for one tick, and one of the next level for 64 times
// that of the level below. When the time comes to a bucket of a higher level its
// entries are spread over the level below. Buckets are slices, and an entry knows
// its place in one: removal puts the last into the gap.
type wheel[K comparable, V any] struct {
	tick   int64 // up to which all entries were moved to due
	levels [wheelLevels]*[wheelSlots][]*entry[K, V]
	due    []*entry[K, V] // their tick has passed, or is the present one
	n      int
}

const (
	tickBits    = 20 // a tick is 2^20 ns, about a millisecond
	slotBits    = 6
	wheelSlots  = 1 << slotBits
	wheelLevels = 8 // 2^(20+6·8) ns is more than the clock has
	dueBucket   = wheelLevels * wheelSlots
)

// bucket is where the entry knows that it is.
func (w *wheel[K, V]) bucket(id uint32) *[]*entry[K, V] {
	if id == dueBucket {
		return &w.due
	}
	level := id / wheelSlots
	if w.levels[level] == nil {
		w.levels[level] = new([wheelSlots][]*entry[K, V])
	}
	return &w.levels[level][id%wheelSlots]
}

// add takes in an entry that expires.
func (w *wheel[K, V]) add(e *entry[K, V]) {
	tick := e.timed().expires >> tickBits
	id := uint32(dueBucket)
	if tick > w.tick {
		// The highest digit, in base 64, in which the two differ.
		level := (bits.Len64(uint64(tick^w.tick)) - 1) / slotBits
		id = uint32(level*wheelSlots + int(tick>>(slotBits*level))%wheelSlots) //nolint:gosec // small
	}
	b := w.bucket(id)
	t := e.timed()
	t.bucket, t.at = id, uint32(len(*b)) //nolint:gosec // entries fit in memory
	*b = append(*b, e)
	w.n++
}

// remove takes out an entry that is in.
func (w *wheel[K, V]) remove(e *entry[K, V]) {
	t := e.timed()
	b := w.bucket(t.bucket)
	last := len(*b) - 1
	moved := (*b)[last]
	(*b)[t.at] = moved
	moved.timed().at = t.at
	(*b)[last] = nil
	*b = (*b)[:last]
	if last == 0 {
		*b = nil
	} else if last < cap(*b)/4 && cap(*b) >= tablesKept {
		*b = append(make([]*entry[K, V], 0, 2*last), *b...)
	}
	w.n--
}

// advance moves to due what expires up to the tick of now.
func (w *wheel[K, V]) advance(now int64) {
	tick := now >> tickBits
	if w.n == len(w.due) {
		w.tick = max(w.tick, tick) // nothing to move, however long it has been
	}
	for w.tick < tick {
		w.step(tick)
	}
}

// step goes on to the next tick, not beyond limit, at which there may be
// something to do.
func (w *wheel[K, V]) step(limit int64) {
	// Levels that are empty are skipped: the next tick of the lowest level that
	// is not.
	level := 0
	for level < wheelLevels-1 && w.levels[level] == nil {
		level++
	}
	next := (w.tick>>(slotBits*level) + 1) << (slotBits * level)
	if next > limit {
		w.tick = limit
		return
	}
	w.tick = next
	for level := wheelLevels - 1; level >= 0; level-- {
		if next&(1<<(slotBits*level)-1) != 0 || w.levels[level] == nil {
			continue
		}
		b := &w.levels[level][int(next>>(slotBits*level))%wheelSlots]
		entries := *b
		*b = nil
		w.n -= len(entries)
		for _, e := range entries {
			w.add(e)
		}
	}
}

// expired returns an entry whose time is up at now, or nil. It looks at some
// that are due only, since those of one tick may be many.
func (w *wheel[K, V]) expired(now int64) *entry[K, V] {
	if w.n == 0 {
		return nil
	}
	w.advance(now)
	const looks = 8
	for i := range min(looks, len(w.due)) {
		if e := w.due[len(w.due)-1-i]; e.timed().expires <= now {
			return e
		}
	}
	return nil
}

// size is how many entries there is room for.
func (w *wheel[K, V]) size() int {
	n := cap(w.due)
	for _, level := range w.levels {
		if level != nil {
			for _, b := range level {
				n += cap(b)
			}
		}
	}
	return n
}
