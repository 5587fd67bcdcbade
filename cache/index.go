package cache

import (
	"math/bits"
	"sync/atomic"

	"github.com/snowfence/snowfence/cache/internal/evict"
)

// An index finds the entries of a shard by key. Reading takes no lock and writes
// nothing; writing needs the shard's lock.
//
// It is a hash table whose buckets fill a cache line each: pointers to seven entries, and
// a byte of the hash for each, its tag. The keys are in the entries, so a lookup reads the
// bucket and the entry, and nothing else. An entry whose bucket is full goes into the
// next one that is not. Each bucket's eighth byte counts the entries that overflowed past
// it, so that a search knows when to end. (Buckets of a cache line come from xsync and
// CLHT, tags from Swiss tables, the overflow count from F14.)
//
// A writer changes a bucket in place, so a reader sees each entry before or after the
// change. When a larger or smaller table replaces the table, the old one stays as it is: a
// reader that still uses it sees the entries as of the replacement.
type index[K comparable, V any] struct {
	table       atomic.Pointer[table[K, V]]
	n           int // entries
	peak        int // the highest n since the table was made
	fullBuckets int // buckets of a full shard; 0: not known
}

type table[K comparable, V any] struct{ buckets []bucket[K, V] }

type bucket[K comparable, V any] struct {
	tags  atomic.Uint64 // a byte per slot, 0: free; the highest byte: the overflow count
	slots [bucketSlots]slot[K, V]
}

type slot[K comparable, V any] = atomic.Pointer[entry[K, V]]

const (
	bucketSlots = 7
	maxFill     = 0.75 // the highest share of slots in use

	lowBits     = 0x0001_0101_0101_0101 // the lowest bit of each slot's byte
	highBits    = lowBits << 7
	overflowOne = 1 << (8 * bucketSlots)
	overflowMax = 255 // the count has reached its maximum, and does not change any more

	hashReserved = evict.HashReserved
	hashMask     = 1<<32 - 1<<hashReserved // the bits of an entry's Hash that are the hash
)

// bucketsFor returns the number of buckets for n entries.
func bucketsFor(n int) int { return int(float64(n)/(bucketSlots*maxFill)) + 1 }

// tagOf returns the tag of hash, repeated in each slot's byte. It consists of bits that
// do not choose the bucket.
func tagOf(hash uint32) uint64 { return (uint64(hash>>hashReserved)&0x7f | 0x80) * lowBits }

// home returns the bucket in which a search for hash begins: hash/2^32 of the way, so
// that a table can have any size.
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
		// equal has the high bit of each byte that is 0 in differ, and perhaps of
		// some bytes above one of these.
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

// slotOf does what find does, and returns the slot of the entry, too. The shard's lock is
// held. (If find called it, hits would be slower.)
func (x *index[K, V]) slotOf(hash uint32, key K) (*entry[K, V], *slot[K, V]) {
	t := x.table.Load()
	if t == nil {
		return nil, nil
	}
	tag := tagOf(hash)
	at := t.home(hash)
	for range len(t.buckets) {
		b := &t.buckets[at]
		tags := b.tags.Load()
		differ := (tags ^ tag) &^ (0xff << (8 * bucketSlots))
		for equal := (differ - lowBits) &^ differ & highBits; equal != 0; equal &= equal - 1 {
			at := &b.slots[bits.TrailingZeros64(equal)/8]
			e := at.Load()
			if e != nil && e.Hash&hashMask == hash && e.key == key {
				return e, at
			}
		}
		if tags < overflowOne {
			return nil, nil
		}
		at++
		if at == len(t.buckets) {
			at = 0
		}
	}
	return nil, nil
}

// insert adds e, whose key must not be in the index.
func (x *index[K, V]) insert(e *entry[K, V]) {
	t := x.table.Load()
	if t == nil || float64(x.n) >= bucketSlots*maxFill*float64(len(t.buckets)) {
		t = x.rebuild(x.grownBuckets())
	}
	t.insert(e)
	x.n++
	x.peak = max(x.peak, x.n)
}

// grownBuckets returns the number of buckets for a table that has to grow. It doubles up
// to the number that a full shard needs, and grows by an eighth beyond it, since a
// shard exceeds its share by little.
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

// insert adds e and returns the number of buckets that it probed.
func (t *table[K, V]) insert(e *entry[K, V]) (probes int) {
	for at := t.home(e.Hash & hashMask); ; at = (at + 1) % len(t.buckets) {
		probes++
		b := &t.buckets[at]
		tags := b.tags.Load()
		if free := ^tags & highBits; free != 0 {
			slot := bits.TrailingZeros64(free) / 8
			b.slots[slot].Store(e)
			b.tags.Store(tags | tagOf(e.Hash&hashMask)&(0xff<<(8*slot)))
			return probes
		}
		if tags/overflowOne < overflowMax {
			b.tags.Store(tags + overflowOne)
		}
	}
}

// remove removes e, which must be in the index.
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

// locate returns the bucket and the slot of e, which must be in the table.
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

// minShrinkSize is the size below which shrinking a table saves too little.
const minShrinkSize = 1024

// maxProbes is the average number of probes per insertion above which shrink gives up,
// since the hashes are not spread evenly: where they are, it is 1.1 in a full table.
const maxProbes = 4

// shrink replaces the table by a smaller one once only a quarter of its peak is left.
// Amortised over the removals before it, that takes constant time.
//
// If the hashes that are left are near each other, as after removals in the order of
// the hashes, they would crowd a part of a smaller table, and each insertion would
// search all of that part. Then the table stays until a quarter of these is left.
func (x *index[K, V]) shrink() {
	t := x.table.Load()
	if x.n > x.peak/4 || len(t.buckets)*bucketSlots < minShrinkSize {
		return
	}
	x.peak = x.n
	smaller := newTable[K, V](bucketsFor(x.n))
	probes := 0
	for e := range t.entries {
		if probes += smaller.insert(e); probes > maxProbes*x.n {
			return
		}
	}
	x.table.Store(smaller)
}

func newTable[K comparable, V any](buckets int) *table[K, V] {
	return &table[K, V]{make([]bucket[K, V], buckets)}
}

// rebuild replaces the table by one of that many buckets with the same entries, and
// returns it.
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

// takeTable empties the index and returns its table, or nil, in constant time.
func (x *index[K, V]) takeTable() *table[K, V] {
	x.n, x.peak = 0, 0
	return x.table.Swap(nil)
}

// all yields every entry. It is safe for concurrent use, and weakly consistent.
//
// It visits the buckets in bit-reversed order (van der Corput's sequence). Any part of
// that sequence is spread evenly over the hashes. So if entries are removed, or stored
// in another cache, in the order in which all yields them, no part of a table becomes
// crowded.
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

// entries yields every entry in the order of the buckets, which is faster than all.
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
