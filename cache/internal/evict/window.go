package evict

import (
	"math"
	"sync"
	"sync/atomic"
)

// A Window adapts the share of the entries that a [TinyLFU] reserves for new ones. All shards
// of a cache have the same share. It is found by hill climbing on the hit ratio: a change
// that raised the ratio is followed by another in the same direction, any other change by one
// in the opposite direction (Einziger, Eytan, Friedman and Manes, Middleware 2018).
type Window struct {
	hits, misses func() uint64 // the cache's totals
	entries      func() int

	share atomic.Uint32 // in units of 2^-16

	mu        sync.Mutex // guards the following; taken only by TryLock
	lastTotal uint64     // hits and misses up to the last change
	lastHits  uint64
	lastRatio float64 // the hit ratio between the last two changes
	step      float64
}

const (
	windowFirst = 0.01
	windowLeast = 0.005
	windowMost  = 0.8
	stepFirst   = 0.0625
	stepDecay   = 0.98
	stepRestart = 0.05 // a change of the hit ratio from which the step is reset to stepFirst
	sampleSize  = 10   // hits and misses per entry between two changes
	leastSample = 64   // the number of entries to assume if there are fewer
)

// NewWindow makes a Window for a cache that counts its hits, misses and entries.
func NewWindow(hits, misses func() uint64, entries func() int) *Window {
	w := &Window{hits: hits, misses: misses, entries: entries, step: stepFirst}
	w.set(windowFirst)
	return w
}

func (w *Window) set(share float64) { w.share.Store(uint32(share * (1 << 16))) }
func (w *Window) get() float64      { return float64(w.share.Load()) / (1 << 16) }

// size returns how many of n nodes may be in the window.
func (w *Window) size(n int) int { return max(1, int(float64(n)*w.get())) }

// Observe changes the share if there were enough hits and misses since the last change. It
// is to be called periodically, without locks, since it reads all counters of hits and
// misses. It is safe for concurrent use and does not block.
func (w *Window) Observe() {
	if w.mu.TryLock() {
		w.climb()
		w.mu.Unlock()
	}
}

// climb changes the share if there were enough hits and misses since the last change. w.mu
// is held.
func (w *Window) climb() {
	hits := w.hits()
	all := hits + w.misses()
	sample := uint64(sampleSize * max(w.entries(), leastSample)) //nolint:gosec // not negative
	if all-w.lastTotal < sample {
		return
	}
	ratio := float64(hits-w.lastHits) / float64(all-w.lastTotal)
	first := w.lastTotal == 0
	change := ratio - w.lastRatio
	w.lastTotal, w.lastHits, w.lastRatio = all, hits, ratio
	if first {
		return // the first sample is of an empty cache, and not comparable
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
