package evict

import (
	"math"
	"sync"
	"sync/atomic"
)

// A Window is the share of the entries that a [TinyLFU] keeps for what is new,
// the same in all shards of a cache. It climbs the hill of the hit ratio: a
// change that raised it is followed by another in the same direction, and one
// that did not by one in the opposite direction (Einziger, Eytan, Friedman and
// Manes, Middleware 2018).
type Window struct {
	hits, misses func() uint64 // of the cache, in all
	entries      func() int

	share atomic.Uint32 // in 2^-16

	mu        sync.Mutex // guards the following; only tried
	lastTotal uint64     // hits and misses at the last change
	lastHits  uint64
	lastRatio float64 // between the last two changes
	step      float64
}

const (
	windowFirst = 0.01
	windowLeast = 0.005
	windowMost  = 0.8
	stepFirst   = 0.0625
	stepDecay   = 0.98
	stepRestart = 0.05 // of the hit ratio: what changed so much is to be climbed anew
	sampleSize  = 10   // hits and misses per entry between two changes
	leastSample = 64   // entries, where there are less
)

// NewWindow makes a Window for a cache that counts its hits, misses and entries.
func NewWindow(hits, misses func() uint64, entries func() int) *Window {
	w := &Window{hits: hits, misses: misses, entries: entries, step: stepFirst}
	w.set(windowFirst)
	return w
}

func (w *Window) set(share float64) { w.share.Store(uint32(share * (1 << 16))) }
func (w *Window) get() float64      { return float64(w.share.Load()) / (1 << 16) }

// of is how many of n nodes may be in the window.
func (w *Window) size(n int) int { return max(1, int(float64(n)*w.get())) }

// Observe changes the share if enough happened since it did so last. To be called
// now and then, without locks: it reads all the counters of hits and misses. It is
// safe for concurrent use and does not block.
func (w *Window) Observe() {
	if w.mu.TryLock() {
		w.climb()
		w.mu.Unlock()
	}
}

// climb changes the share if enough happened since the last change. w.mu is
// held.
func (w *Window) climb() {
	hits := w.hits()
	all := hits + w.misses()
	if all-w.lastTotal < uint64(sampleSize*max(w.entries(), leastSample)) { //nolint:gosec // not negative
		return
	}
	ratio := float64(hits-w.lastHits) / float64(all-w.lastTotal)
	first := w.lastTotal == 0
	change := ratio - w.lastRatio
	w.lastTotal, w.lastHits, w.lastRatio = all, hits, ratio
	if first {
		return // the cache was filling
	}
	if change <= 0 {
		w.step = -w.step
	}
	w.set(min(max(w.get()+w.step, windowLeast), windowMost))
	if math.Abs(change) >= stepRestart {
		w.step = math.Copysign(stepFirst, w.step)
	} else {
		w.step *= stepDecay
	}
}
