package evict

import (
	"sync"
	"sync/atomic"
)

// A Window is the share of the entries that a [TinyLFU] reserves for new ones. All shards of a
// cache have the same Window. Its share is fixed, or adapts to the requests, as a [contest] on a
// sample of the keys finds it.
type Window struct {
	share  atomic.Uint32 // in units of 2^-16
	cutoff atomic.Uint32 // log2 of the number of 32-bit hashes that are in the sample

	room    func() int
	mu      sync.Mutex // guards the following; taken by TryLock alone
	contest *contest
	large   bool // the cache was seen to have room for largeCache entries
}

// largeCache is the number of entries from which an adaptive Window is first that of TinyLFU. The
// first share counts until the contest knows better, which takes longer in a large cache. In a
// small one it is the whole: those who look at the order of few entries expect an LRU.
const largeCache = 64

// NewWindow makes a Window with the fixed share of TinyLFU.
func NewWindow() *Window { return windowOf(tinyShare) }

// NewAdaptiveWindow makes a Window that adapts. Its cache has room for as many entries as the
// function returns.
func NewAdaptiveWindow(room func() int) *Window {
	w := windowOf(wholeShare)
	w.room, w.contest = room, newContest()
	w.cutoff.Store(hashBits) // all keys
	return w
}

func windowOf(share float64) *Window {
	w := new(Window)
	w.set(share)
	return w
}

func (w *Window) set(share float64) { w.share.Store(uint32(share * (1 << 16))) }
func (w *Window) get() float64      { return float64(w.share.Load()) / (1 << 16) }

// size returns how many of n nodes may be in the window.
func (w *Window) size(n int) int { return max(1, int(float64(n)*w.get())) }

const hashBits = 32

// Samples reports whether uses of the key with that hash are to be reported to Record. It is safe
// for concurrent use, and does not block.
func (w *Window) Samples(hash uint32) bool {
	return w.contest != nil && spread(hash)>>w.cutoff.Load() == 0
}

// spread makes a number of hash whose high bits depend on all of its bits, in another way than
// those that choose a bucket, a shard or a counter of the sketch.
func spread(hash uint32) uint32 { return hash >> HashReserved * 0x85eb_ca6b }

// Record notes a use, or the insertion, of the key with that hash, for which Samples was true. It
// is safe for concurrent use, and does not block: of several uses at the same time it notes one.
func (w *Window) Record(hash uint32) {
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	room := w.room()
	if !w.large && room >= largeCache {
		w.large = true
		w.set(w.contest.restart(tiny))
	}
	bits := w.adjust(room)
	if !w.Samples(hash) { // any more
		return
	}
	if share, won := w.contest.use(hash&^(1<<HashReserved-1), max(1, room>>bits)); won {
		w.set(share)
	}
}

// adjust makes the sample fit the room, and returns sampleBits. It makes the sample larger again
// only if it is much too small, so that a room that varies does not change it all the
// time. w.mu is held.
func (w *Window) adjust(room int) (bits uint32) {
	bits = sampleBits(room)
	now := hashBits - w.cutoff.Load()
	if bits == now || bits+1 == now {
		return now
	}
	w.cutoff.Store(hashBits - bits)
	w.contest.keep(w.Samples)
	return bits
}

const (
	sampleShare = 32   // one of so many keys is in the sample, if that gives enough
	sampleLeast = 256  // the number of sampled entries to be had at least
	sampleMost  = 4096 // and at most
)

// sampleBits returns log2 of the number of keys of which one is in the sample, for a cache with
// that much room.
func sampleBits(room int) (bits uint32) {
	for most := min(max(sampleLeast, room/sampleShare), sampleMost); room>>bits > most; {
		bits++
	}
	return bits
}
