// Package metrics lists the numbers of a cache that packages cacheprom and cacheotel export, so
// that both export the same ones under the same names.
package metrics

import (
	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// A Source is what a cache exports its numbers from: a *cache.Cache, a *cache.Loading, or a
// cluster.Store. Its methods must be safe for concurrent use.
type Source interface {
	Stats() cache.Stats
	Len() int
	Inspect() courier.Inspector
}

// A Snapshot holds the numbers of a Source.
type Snapshot struct {
	cache.Stats
	Entries int
	Resting int // keys that back off
	Timings courier.Timings
}

// Take returns the numbers of s.
func Take(s Source) Snapshot {
	shown := s.Inspect()
	snapshot := Snapshot{Stats: s.Stats(), Entries: s.Len(), Timings: shown.Timings()}
	for range shown.Resting() {
		snapshot.Resting++
	}
	return snapshot
}

// A Metric is a number of a Snapshot: a count since the cache was made, or a present state.
type Metric struct {
	Name, Help, Unit string
	Count            func(Snapshot) uint64 // nil: State is set
	State            func(Snapshot) int
}

// All lists the metrics. Names are without the prefix, and without the suffix that a system of
// metrics may want for counts.
var All = []Metric{
	state("entries", "Entries stored, including stale ones and expired ones not removed yet.", "entry",
		func(s Snapshot) int { return s.Entries }),
	state("stale_entries", "Entries whose TTL has ended, and that StaleFor keeps.", "entry",
		func(s Snapshot) int { return s.StaleEntries }),
	state("not_found_keys", "Keys that are remembered as having no record.", "key",
		func(s Snapshot) int { return s.NotFoundKeys }),
	state("keys_resting", "Keys that back off after failures.", "key",
		func(s Snapshot) int { return s.Resting }),
	count("hits", "Calls of Get and Fetch that found a fresh value; a batch for each key.", "call",
		func(s Snapshot) uint64 { return s.Hits }),
	count("misses", "Calls of Get and Fetch that did not find one; a batch for each key.", "call",
		func(s Snapshot) uint64 { return s.Misses }),
	count("stale", "Misses that got a stale value, since the load failed or was late.", "call",
		func(s Snapshot) uint64 { return s.Stale }),
	count("not_found", "Loads that ended with ErrNotFound.", "load",
		func(s Snapshot) uint64 { return s.NotFound }),
	count("not_found_hits", "Misses that got ErrNotFound without a load.", "call",
		func(s Snapshot) uint64 { return s.NotFoundHits }),
	count("loads", "Keys for which a fetch function was called.", "load",
		func(s Snapshot) uint64 { return s.Loads }),
	count("load_errors", "Loads that failed, or ended after their flight.", "load",
		func(s Snapshot) uint64 { return s.LoadErrors }),
	count("load_panics", "Fetch functions, and their linked children, that panicked.", "panic",
		func(s Snapshot) uint64 { return s.Panics }),
	count("refreshes", "Loads started in the background by RefreshAt.", "load",
		func(s Snapshot) uint64 { return s.Refreshes }),
	count("evictions", "Entries evicted because the cache was full.", "entry",
		func(s Snapshot) uint64 { return s.Evictions }),
	count("expired", "Entries removed after their TTL and StaleFor.", "entry",
		func(s Snapshot) uint64 { return s.Expired }),
	count("shed", "Entries evicted near the memory limit.", "entry",
		func(s Snapshot) uint64 { return s.Shed }),
	count("rejected", "Values not stored because they exceed MaxWeight.", "entry",
		func(s Snapshot) uint64 { return s.Rejected }),
	count("callback_panics", "Calls of OnEviction that ended with a panic or Goexit.", "call",
		func(s Snapshot) uint64 { return s.CallbackPanics }),
	count("callbacks_dropped", "Entries for which OnEviction was not called.", "entry",
		func(s Snapshot) uint64 { return s.CallbacksDropped }),
	count("second_hits", "Keys of loads that the second level answered.", "key",
		func(s Snapshot) uint64 { return s.SecondHits }),
	count("second_stale", "Keys of loads for which the second level had a stale value.", "key",
		func(s Snapshot) uint64 { return s.SecondStale }),
	count("second_misses", "Keys of loads that the second level did not answer.", "key",
		func(s Snapshot) uint64 { return s.SecondMisses }),
	count("second_writes", "Records written to the second level.", "record",
		func(s Snapshot) uint64 { return s.SecondWrites }),
	count("second_errors", "Calls of the second level that failed or were late.", "call",
		func(s Snapshot) uint64 { return s.SecondErrors }),
	count("second_rejected", "Records of the second level that could not be used.", "record",
		func(s Snapshot) uint64 { return s.SecondRejected }),
	count("second_dropped", "Results that were not written to the second level.", "record",
		func(s Snapshot) uint64 { return s.SecondDropped }),
	state("second_pending", "Keys and tags that wait for the second level.", "key",
		func(s Snapshot) int { return s.SecondPending }),

	count("flights", "Flights started.", "flight",
		func(s Snapshot) uint64 { return s.Courier.Started }),
	count("flights_joined", "Callers who joined a flight that another caller had started.", "call",
		func(s Snapshot) uint64 { return s.Courier.Joined }),
	count("flights_timed_out", "Flights that ended with a time-out.", "flight",
		func(s Snapshot) uint64 { return s.Courier.Timeouts }),
	count("flights_late", "Flights that outlasted a caller's deadline or SoftTimeout.", "flight",
		func(s Snapshot) uint64 { return s.Courier.Late }),
	count("flights_deserted", "Flights cancelled because their last caller left.", "flight",
		func(s Snapshot) uint64 { return s.Courier.Deserted }),
	count("goexits", "Fetch functions, and their linked children, that called runtime.Goexit.", "call",
		func(s Snapshot) uint64 { return s.Courier.Goexits }),
	count("deadlocks", "Calls that failed since they would have waited for themselves.", "call",
		func(s Snapshot) uint64 { return s.Courier.Deadlocks }),
	count("overloads", "Calls and flights refused because of a limit.", "call",
		func(s Snapshot) uint64 { return s.Courier.Overloads }),
	count("backed_off", "Calls refused because their key backs off after a failure.", "call",
		func(s Snapshot) uint64 { return s.Courier.BackedOff }),
	count("functions_abandoned", "Flights that were ever over while a goroutine still ran.", "flight",
		func(s Snapshot) uint64 { return s.Courier.AbandonedTotal }),
	state("flights", "Flights under way.", "flight",
		func(s Snapshot) int { return s.Courier.InFlight }),
	state("callers_waiting", "Callers who wait for a flight, without those of low priority.", "call",
		func(s Snapshot) int { return s.Courier.Waiting }),
	state("functions_abandoned", "Flights that are over while a goroutine still runs.", "flight",
		func(s Snapshot) int { return s.Courier.Abandoned }),
}

func count(name, help, unit string, value func(Snapshot) uint64) Metric {
	return Metric{Name: name, Help: help, Unit: unit, Count: value}
}

func state(name, help, unit string, value func(Snapshot) int) Metric {
	return Metric{Name: name, Help: help, Unit: unit, State: value}
}

// The durations of a Snapshot's Timings, in seconds. The first has the label Outcome.
const (
	LoadDuration     = "load_duration"
	LoadDurationHelp = "Time from the start of flights to their end, by their outcome."
	WaitDuration     = "wait_duration"
	WaitDurationHelp = "Time for which callers waited for flights, without those of low priority."
	Outcome          = "outcome" // FlightEnd.String()
)

// LoadDurations returns the durations of the flights that have ended that way, and false if there
// are none. Values are always there, so that a rate of them begins at 0.
func (s Snapshot) LoadDurations(end courier.FlightEnd) (*courier.Histogram, bool) {
	h := s.Timings.Flights[end]
	if h == nil && end == courier.EndValue {
		return &courier.Histogram{}, true
	}
	return h, h != nil
}

// Ends lists the ways in which flights end.
var Ends = []courier.FlightEnd{
	courier.EndValue, courier.EndAnswer, courier.EndError, courier.EndPanic, courier.EndGoexit,
	courier.EndTimeout, courier.EndCancelled, courier.EndOverloaded, courier.EndClosed,
}
