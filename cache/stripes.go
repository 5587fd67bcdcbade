package cache

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// stripes counts hits, misses and stale values so that goroutines on different cores seldom write
// to the same cache line. A goroutine's stripe is chosen by the address of its stack. That
// takes an instruction or two, and two goroutines that run at the same time share a
// stripe with a probability of at most 1/16 per core. (xsync's counter gets the processor
// from a sync.Pool, which takes longer than the rest of a hit.)
type stripes []stripe

type stripe struct {
	hits      atomic.Uint64
	misses    atomic.Uint64
	stale     atomic.Uint64 // of the misses, see Stats
	lastAdapt atomic.Int64  // the time of the last call of clock.adapt
	_         [32]byte      // makes the stripe a cache line
}

const stripesPerCore = 16

func newStripes() stripes {
	n := 1
	for n < stripesPerCore*runtime.GOMAXPROCS(0) {
		n *= 2
	}
	return make(stripes, n)
}

// local returns the stripe of the calling goroutine.
func (s stripes) local() *stripe {
	var here byte
	// Stacks begin at multiples of 2 KiB. The factor is 2^64 over the golden
	// ratio, which spreads neighbours (Knuth).
	stack := uint64(uintptr(unsafe.Pointer(&here))) >> 11
	return &s[(stack*0x9e3779b97f4a7c15)>>32&uint64(len(s)-1)]
}

func (s stripes) hits() (n uint64) {
	for i := range s {
		n += s[i].hits.Load()
	}
	return n
}

func (s stripes) totals() (hits, misses, stale uint64) {
	for i := range s {
		hits += s[i].hits.Load()
		misses += s[i].misses.Load()
		stale += s[i].stale.Load()
	}
	return hits, misses, stale
}
