package cache

import (
	"sync/atomic"

	"github.com/snowfence/snowfence/courier"
)

// Stats holds the counters of a Cache since it was made. They are not read at one instant;
// each is exact while the cache is idle.
type Stats struct {
	Hits   uint64 // calls of Get and Fetch that found a fresh value, and keys of FetchMany
	Misses uint64 // calls and keys that did not
	Loads  uint64 // keys for which a fetch function was called; a batch counts for each

	// LoadErrors counts the Loads that failed, or ended after their flight. A load that
	// still hangs is not counted yet.
	LoadErrors uint64

	Stale        uint64 // of the Misses, those that got a stale value
	NotFound     uint64 // of the Loads, those that ended with ErrNotFound; no LoadErrors
	NotFoundHits uint64 // of the Misses, those that got ErrNotFound without a load

	Panics         uint64 // fetch functions, and their linked children, that panicked
	Refreshes      uint64 // the Loads that RefreshAt started in the background
	Evictions      uint64 // entries evicted because the cache was full
	Expired        uint64 // entries that were removed after their TTL and StaleFor
	Shed           uint64 // entries evicted near the memory limit, see Options.ShedAbove
	Rejected       uint64 // values that were not stored because they exceed MaxWeight
	CallbackPanics uint64 // calls of OnEviction that ended with a panic or runtime.Goexit

	// CallbacksDropped counts the entries for which OnEviction was not called, since too
	// many notifications waited, or since Close's second had passed.
	CallbacksDropped uint64

	// Of the second level. The first three count keys of loads: those whose result was a record or
	// waited to be written, those for which a stale record was kept, and those that went on to the
	// fetch function.
	SecondHits   uint64
	SecondStale  uint64
	SecondMisses uint64

	SecondErrors   uint64 // calls of the Storage that failed or were late
	SecondRejected uint64 // records that were garbage, foreign, too large, or invalidated
	SecondWrites   uint64 // records given to Storage.Write without an error
	SecondDropped  uint64 // results that were not written: too many, too large, or the call failed

	// SecondPending is the number of keys and tags that wait for the second level at present.
	SecondPending int

	// Present state: the entries whose TTL has ended and that StaleFor keeps, and the keys that are
	// remembered for NotFoundTTL. Both change when the cache sweeps, every second or so.
	StaleEntries int
	NotFoundKeys int

	Courier courier.Stats // of flights, waiting callers and abandoned functions
}

// HitRatio returns Hits divided by Hits and Misses, and 0 if there are none.
func (s Stats) HitRatio() float64 {
	if s.Hits+s.Misses == 0 {
		return 0
	}
	return float64(s.Hits) / float64(s.Hits+s.Misses)
}

type counters struct {
	loads            atomic.Uint64
	loadErrors       atomic.Uint64
	notFound         atomic.Uint64
	notFoundHits     atomic.Uint64
	refreshes        atomic.Uint64
	evictions        atomic.Uint64
	expired          atomic.Uint64
	shed             atomic.Uint64
	rejected         atomic.Uint64
	callbackPanics   atomic.Uint64
	callbacksDropped atomic.Uint64
	secondHits       atomic.Uint64
	secondStale      atomic.Uint64
	secondMisses     atomic.Uint64
	secondErrors     atomic.Uint64
	secondRejected   atomic.Uint64
	secondWrites     atomic.Uint64
	secondDropped    atomic.Uint64
}

// Stats returns the cache's counters. It takes the locks of the cache's shards and of the courier's
// one after the other, each for a short time.
func (c *Cache[K, V]) Stats() Stats {
	s := Stats{
		Loads:            c.counters.loads.Load(),
		LoadErrors:       c.counters.loadErrors.Load(),
		NotFound:         c.counters.notFound.Load(),
		NotFoundHits:     c.counters.notFoundHits.Load(),
		Refreshes:        c.counters.refreshes.Load(),
		Evictions:        c.counters.evictions.Load(),
		Expired:          c.counters.expired.Load(),
		Shed:             c.counters.shed.Load(),
		Rejected:         c.counters.rejected.Load(),
		CallbackPanics:   c.counters.callbackPanics.Load(),
		CallbacksDropped: c.counters.callbacksDropped.Load(),
		SecondHits:       c.counters.secondHits.Load(),
		SecondStale:      c.counters.secondStale.Load(),
		SecondMisses:     c.counters.secondMisses.Load(),
		SecondErrors:     c.counters.secondErrors.Load(),
		SecondRejected:   c.counters.secondRejected.Load(),
		SecondWrites:     c.counters.secondWrites.Load(),
		SecondDropped:    c.counters.secondDropped.Load(),
		Courier:          c.courier.Stats(),
	}
	s.Hits, s.Misses, s.Stale = c.stripes.totals()
	if c.second != nil {
		s.SecondPending = c.second.pending.len()
	}
	s.Panics = s.Courier.Panics
	if c.staleFor > 0 || c.notFoundTTL > 0 {
		for i := range c.shards {
			s.StaleEntries += c.shards[i].staleEntries()
			s.NotFoundKeys += c.shards[i].notFoundKeys()
		}
	}
	return s
}

// staleEntries returns the number of entries that are filed as stale.
func (s *shard[K, V]) staleEntries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale == nil {
		return 0
	}
	return s.stale.n
}

// notFoundKeys returns the number of keys that are remembered as having no record.
func (s *shard[K, V]) notFoundKeys() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing == nil || s.missing.byKey == nil {
		return 0
	}
	return s.missing.byKey.Len()
}
