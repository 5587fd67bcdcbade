package cache

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// stripes count hits and misses so that goroutines on different cores seldom
// write to the same cache line. A goroutine finds its stripe by where its stack
// is: that costs an instruction or two, and two goroutines that run at the same
// time share one with a probability of 1/16 per core at most. (xsync's counter
// asks a sync.Pool for the processor, which takes longer than the rest of a hit.)
type stripes []stripe

type stripe struct {
	hits      atomic.Uint64
	misses    atomic.Uint64
	lastAdapt atomic.Int64 // when the clock was compared last; see clock.watch
	_         [40]byte     // a cache line in all
}

const stripesPerCore = 16

func newStripes() stripes {
	n := 1
	for n < stripesPerCore*runtime.GOMAXPROCS(0) {
		n *= 2
	}
	return make(stripes, n)
}

// mine is the stripe of the calling goroutine.
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

func (s stripes) misses() (n uint64) {
	for i := range s {
		n += s[i].misses.Load()
	}
	return n
}
