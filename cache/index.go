package cache

import (
	"math/bits"
	"sync/atomic"

	"github.com/snowfence/snowfence/cache/internal/evict"
)

// An index finds the entries of a shard by key. Reading takes no lock and writes
// nothing; writing needs the shard's lock.
//
// It is a hash table whose buckets fill a cache line each: a byte of the hash
// for each of seven entries, and pointers to them. Entries know their keys, so
// there is nothing else, and a lookup touches the bucket and the entry. An entry
// that finds its bucket full goes to the next one; an eighth byte counts those
// that went past, so that a search knows when to end. (Buckets of a line are
// xsync's and CLHT's, bytes of the hash Swiss tables', the count F14's.)
//
// A writer changes a bucket in place, so a reader sees each entry before or
// after the change. When the table is replaced, by a larger one or a smaller
// one, the old one is left as it was: who still reads it reads what was true
// when it began.
type index[K comparable, V any] struct {
	table       atomic.Pointer[table[K, V]]
	n           int // entries
	peak        int // most of them since the table was made
	fullBuckets int // buckets that hold a full shard; 0: not known
}

type table[K comparable, V any] struct{ buckets []bucket[K, V] }

type bucket[K comparable, V any] struct {
	tags  atomic.Uint64 // a byte per slot, 0: free; the highest counts who went past
	slots [bucketSlots]atomic.Pointer[entry[K, V]]
}

const (
	bucketSlots = 7
	maxFill     = 0.75 // of the slots, at most, on average

	lowBits     = 0x0001_0101_0101_0101 // the lowest bit of each slot's byte
	highBits    = lowBits << 7
	overflowOne = 1 << (8 * bucketSlots)
	overflowMax = 255 // the count could not be kept, and stays

	hashReserved = evict.HashReserved
	hashMask     = 1<<32 - 1<<hashReserved // what of an entry's Hash is the hash
)

// bucketsFor is the number of buckets for n entries.
func bucketsFor(n int) int { return int(float64(n)/(bucketSlots*maxFill)) + 1 }

// tagOf is the byte of hash that is kept in the bucket, in each slot's place. It
// is made of bits that do not choose the bucket.
func tagOf(hash uint32) uint64 { return (uint64(hash>>hashReserved)&0x7f | 0x80) * lowBits }

// home is the bucket of hash: hash/2^32 of the way, so that a table can be of
// any size.
func (t *table[K, V]) home(hash uint32) int {
	return int(uint64(hash) * uint64(len(t.buckets)) >> 32) //nolint:gosec // below len
}

// find returns the entry for key, or nil. It is safe for concurrent use.
func (x *index[K, V]) find(hash uint32, key K) *entry[K, V] {
	t := x.table.Load()
	if t == nil {
		return nil
	}
	tag := tagOf(hash)
	at := t.home(hash)
	for range len(t.buckets) {
		b := &t.buckets[at]
		tags := b.tags.Load()
		differ := (tags ^ tag) &^ (0xff << (8 * bucketSlots))
		// The bytes that are 0, and perhaps some above one of these.
		for equal := (differ - lowBits) &^ differ & highBits; equal != 0; equal &= equal - 1 {
			e := b.slots[bits.TrailingZeros64(equal)/8].Load()
			if e != nil && e.Hash&hashMask == hash && e.key == key {
				return e
			}
		}
		if tags < overflowOne {
			return nil
		}
		at++
		if at == len(t.buckets) {
			at = 0
		}
	}
	return nil
}

// insert adds e, whose key is not there.
func (x *index[K, V]) insert(e *entry[K, V]) {
	t := x.table.Load()
	if t == nil || float64(x.n) >= bucketSlots*maxFill*float64(len(t.buckets)) {
		t = x.rebuild(x.grownBuckets())
	}
	t.insert(e)
	x.n++
	x.peak = max(x.peak, x.n)
}

// larger is the number of buckets for more entries. Up to what a full shard
// needs they double; beyond it little is missing.
func (x *index[K, V]) grownBuckets() int {
	now := 0
	if t := x.table.Load(); t != nil {
		now = len(t.buckets)
	}
	switch {
	case now >= x.fullBuckets && x.fullBuckets > 0:
		return now + now/8 + 1
	case x.fullBuckets > 0:
		return min(2*now+1, x.fullBuckets)
	default:
		return now + now/2 + 1
	}
}

// insert adds e and returns how many buckets it looked at.
func (t *table[K, V]) insert(e *entry[K, V]) (looks int) {
	for at := t.home(e.Hash & hashMask); ; at = (at + 1) % len(t.buckets) {
		looks++
		b := &t.buckets[at]
		tags := b.tags.Load()
		if free := ^tags & highBits; free != 0 {
			slot := bits.TrailingZeros64(free) / 8
			b.slots[slot].Store(e)
			b.tags.Store(tags | tagOf(e.Hash&hashMask)&(0xff<<(8*slot)))
			return looks
		}
		if tags/overflowOne < overflowMax {
			b.tags.Store(tags + overflowOne)
		}
	}
}

// replace puts e where old is, which has the same key.
func (x *index[K, V]) replace(old, e *entry[K, V]) {
	t := x.table.Load()
	at, slot := t.locate(old)
	t.buckets[at].slots[slot].Store(e)
}

// remove takes e out, which is there.
func (x *index[K, V]) remove(e *entry[K, V]) {
	t := x.table.Load()
	at, slot := t.locate(e)
	b := &t.buckets[at]
	b.tags.Store(b.tags.Load() &^ (0xff << (8 * slot)))
	b.slots[slot].Store(nil)
	for past := t.home(e.Hash & hashMask); past != at; past = (past + 1) % len(t.buckets) {
		b := &t.buckets[past]
		if tags := b.tags.Load(); tags/overflowOne < overflowMax {
			b.tags.Store(tags - overflowOne)
		}
	}
	x.n--
}

// locate says where e is.
func (t *table[K, V]) locate(e *entry[K, V]) (at, slot int) {
	for at = t.home(e.Hash & hashMask); ; at = (at + 1) % len(t.buckets) {
		b := &t.buckets[at]
		for slot = range b.slots {
			if b.slots[slot].Load() == e {
				return at, slot
			}
		}
	}
}

// tablesKept is the size up to which tables are not worth shrinking.
const minShrinkSize = 1024

// evenLooks is the most buckets that entries that are spread evenly look at to be
// inserted, on average and with a margin: it is 1.1 in a table as full as it may be.
const maxProbes = 4

// shrink replaces the table by a smaller one once only a quarter of its peak is
// left. The cost is spread over the removals that led here.
//
// If what is left has hashes near each other, as after removals in the order of
// the hashes, it would crowd a part of a smaller table, and each insertion would
// search all of that part. Then the table stays until a quarter of that is left.
func (x *index[K, V]) shrink() {
	t := x.table.Load()
	if x.n > x.peak/4 || len(t.buckets)*bucketSlots < minShrinkSize {
		return
	}
	x.peak = x.n
	smaller := newTable[K, V](bucketsFor(x.n))
	looks := 0
	for e := range t.entries {
		if looks += smaller.insert(e); looks > maxProbes*x.n {
			return
		}
	}
	x.table.Store(smaller)
}

func newTable[K comparable, V any](buckets int) *table[K, V] {
	return &table[K, V]{make([]bucket[K, V], buckets)}
}

// rebuild makes a table of that many buckets with the same entries.
func (x *index[K, V]) rebuild(buckets int) *table[K, V] {
	t := newTable[K, V](buckets)
	if old := x.table.Load(); old != nil {
		for e := range old.entries {
			t.insert(e)
		}
	}
	x.table.Store(t)
	return t
}

// take empties the index and returns its table, or nil. It takes the same time
// however many entries there are.
func (x *index[K, V]) takeTable() *table[K, V] {
	x.n, x.peak = 0, 0
	return x.table.Swap(nil)
}

// all yields every entry. It is safe for concurrent use, and weakly consistent.
//
// It visits the buckets in the order of their numbers with the bits reversed (van
// der Corput's sequence). Any run of it is spread evenly over the hashes, so that
// entries that are removed, or stored elsewhere, in the order in which they were
// seen leave no part of a table crowded.
func (x *index[K, V]) all(yield func(*entry[K, V]) bool) {
	t := x.table.Load()
	if t == nil {
		return
	}
	n := uint64(len(t.buckets))
	width := bits.Len64(n - 1)
	for i := range uint64(1) << width {
		at := bits.Reverse64(i) >> (64 - width)
		if at >= n {
			continue
		}
		for e := range t.buckets[at].entries {
			if !yield(e) {
				return
			}
		}
	}
}

// entries yields every entry in the order of the buckets, which is faster than
// that of all.
func (t *table[K, V]) entries(yield func(*entry[K, V]) bool) {
	for at := range t.buckets {
		for e := range t.buckets[at].entries {
			if !yield(e) {
				return
			}
		}
	}
}

func (b *bucket[K, V]) entries(yield func(*entry[K, V]) bool) {
	for slot := range b.slots {
		if e := b.slots[slot].Load(); e != nil && !yield(e) {
			return
		}
	}
}
