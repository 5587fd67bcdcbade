package cache

import (
	"sync/atomic"

	"github.com/snowfence/snowfence/courier"
)

// Stats is what a Cache did since it was made. Each number is exact when
// nothing is going on; they are not read at one instant.
type Stats struct {
	Hits           uint64 // Get and Fetch that found a value
	Misses         uint64 // Get and Fetch that did not
	Loads          uint64 // fetch functions called
	LoadErrors     uint64 // of these, the ones that ended and gave no value, or too late
	Panics         uint64 // fetch functions, and their linked children, that panicked
	Refreshes      uint64 // loads started in the background by RefreshAfter
	Evictions      uint64 // entries that had to go because the cache was full
	Expired        uint64 // expired entries that were reclaimed
	Shed           uint64 // entries that had to go because memory ran short: Options.ShedAbove
	Rejected       uint64 // values heavier than MaxWeight, and so not stored
	CallbackPanics uint64 // calls of OnEviction that ended with a panic or runtime.Goexit

	// CallbacksDropped counts the entries that left without a call of OnEviction, since
	// too many notifications waited for it, or Close could not wait any longer.
	CallbacksDropped uint64

	Courier courier.Stats // flights, callers waiting, abandoned functions
}

type counters struct {
	loads            atomic.Uint64
	loadErrors       atomic.Uint64
	refreshes        atomic.Uint64
	evictions        atomic.Uint64
	expired          atomic.Uint64
	shed             atomic.Uint64
	rejected         atomic.Uint64
	callbackPanics   atomic.Uint64
	callbacksDropped atomic.Uint64
}

// Stats returns the cache's counters. It takes the locks of the courier's shards one
// after the other, each for a moment. The counters are not read at one instant.
func (c *Cache[K, V]) Stats() Stats {
	s := Stats{
		Hits:             c.stripes.hits(),
		Misses:           c.stripes.misses(),
		Loads:            c.counters.loads.Load(),
		LoadErrors:       c.counters.loadErrors.Load(),
		Refreshes:        c.counters.refreshes.Load(),
		Evictions:        c.counters.evictions.Load(),
		Expired:          c.counters.expired.Load(),
		Shed:             c.counters.shed.Load(),
		Rejected:         c.counters.rejected.Load(),
		CallbackPanics:   c.counters.callbackPanics.Load(),
		CallbacksDropped: c.counters.callbacksDropped.Load(),
		Courier:          c.courier.Stats(),
	}
	s.Panics = s.Courier.Panics
	return s
}
