// Package cacheprom exports the counters of a cache to Prometheus.
//
//	users, err := cache.New(cache.Options[string, *User]{…})
//	prometheus.MustRegister(cacheprom.New("users", users.Stats, users.Len))
//
// The names of the metrics begin with snowfence_cache_, and each has the label cache. They are
// read at each scrape; no goroutine runs between scrapes.
//
// Watch these: hits_total and misses_total, for the hit ratio; stale_total, which grows while the
// origin fails and callers get older values instead; load_errors_total; callers_waiting, which
// grows when loads are slow; and functions_abandoned, the flights that are over but whose fetch
// functions still run, because they hang.
package cacheprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/snapshotprom"
)

// New returns a collector for one cache. name is the value of the label cache, and must be unique
// among the caches of a Prometheus registry. stats and entries are usually the methods Stats and
// Len of the cache. The collector calls both at each scrape; they must be safe for concurrent use.
func New(name string, stats func() cache.Stats, entries func() int) prometheus.Collector {
	take := func() snapshot { return snapshot{stats(), entries()} }
	return snapshotprom.New(take, prometheus.Labels{"cache": name}, metrics...)
}

type snapshot struct {
	cache.Stats
	entries int
}

const prefix = "snowfence_cache_"

var metrics = []snapshotprom.Metric[snapshot]{
	gauge("entries", "Entries stored, including stale ones and expired ones not removed yet.",
		func(s snapshot) int { return s.entries }),
	counter("hits_total", "Calls of Get and Fetch that found a fresh value; a batch for each key.",
		func(s snapshot) uint64 { return s.Hits }),
	counter("misses_total", "Calls of Get and Fetch that did not find one; a batch for each key.",
		func(s snapshot) uint64 { return s.Misses }),
	counter("stale_total", "Misses that got a stale value, since the load failed or was late.",
		func(s snapshot) uint64 { return s.Stale }),
	counter("not_found_total", "Loads that ended with ErrNotFound.",
		func(s snapshot) uint64 { return s.NotFound }),
	counter("not_found_hits_total", "Misses that got ErrNotFound without a load.",
		func(s snapshot) uint64 { return s.NotFoundHits }),
	counter("loads_total", "Keys for which a fetch function was called.",
		func(s snapshot) uint64 { return s.Loads }),
	counter("load_errors_total", "Loads that failed, or ended after their flight.",
		func(s snapshot) uint64 { return s.LoadErrors }),
	counter("load_panics_total", "Fetch functions, and their linked children, that panicked.",
		func(s snapshot) uint64 { return s.Panics }),
	counter("refreshes_total", "Loads started in the background by RefreshAt.",
		func(s snapshot) uint64 { return s.Refreshes }),
	counter("evictions_total", "Entries evicted because the cache was full.",
		func(s snapshot) uint64 { return s.Evictions }),
	counter("expired_total", "Entries removed after their TTL and StaleFor.",
		func(s snapshot) uint64 { return s.Expired }),
	counter("shed_total", "Entries evicted near the memory limit.",
		func(s snapshot) uint64 { return s.Shed }),
	counter("rejected_total", "Values not stored because they exceed MaxWeight.",
		func(s snapshot) uint64 { return s.Rejected }),
	counter("callback_panics_total", "Calls of OnEviction that ended with a panic or Goexit.",
		func(s snapshot) uint64 { return s.CallbackPanics }),
	counter("callbacks_dropped_total", "Entries for which OnEviction was not called.",
		func(s snapshot) uint64 { return s.CallbacksDropped }),

	counter("flights_total", "Flights started.",
		func(s snapshot) uint64 { return s.Courier.Started }),
	counter("flights_joined_total", "Callers who joined a flight that another caller had started.",
		func(s snapshot) uint64 { return s.Courier.Joined }),
	counter("flights_timed_out_total", "Flights that ended with a time-out.",
		func(s snapshot) uint64 { return s.Courier.Timeouts }),
	counter("flights_late_total", "Flights that outlasted a caller's deadline or SoftTimeout.",
		func(s snapshot) uint64 { return s.Courier.Late }),
	counter("flights_deserted_total", "Flights cancelled because their last caller left.",
		func(s snapshot) uint64 { return s.Courier.Deserted }),
	counter("goexits_total", "Fetch functions, and their linked children, that called runtime.Goexit.",
		func(s snapshot) uint64 { return s.Courier.Goexits }),
	counter("deadlocks_total", "Calls that failed since they would have waited for themselves.",
		func(s snapshot) uint64 { return s.Courier.Deadlocks }),
	counter("overloads_total", "Calls and flights refused because of a limit.",
		func(s snapshot) uint64 { return s.Courier.Overloads }),
	counter("backed_off_total", "Calls refused because their key backs off after a failure.",
		func(s snapshot) uint64 { return s.Courier.BackedOff }),
	counter("functions_abandoned_total", "Flights that were ever over while a goroutine still ran.",
		func(s snapshot) uint64 { return s.Courier.AbandonedTotal }),
	gauge("flights", "Flights under way.",
		func(s snapshot) int { return s.Courier.InFlight }),
	gauge("callers_waiting", "Callers who wait for a flight, without those of low priority.",
		func(s snapshot) int { return s.Courier.Waiting }),
	gauge("functions_abandoned", "Flights that are over while a goroutine still runs.",
		func(s snapshot) int { return s.Courier.Abandoned }),
}

func counter(name, help string, value func(snapshot) uint64) snapshotprom.Metric[snapshot] {
	return snapshotprom.Counter(prefix+name, help, value)
}

func gauge(name, help string, value func(snapshot) int) snapshotprom.Metric[snapshot] {
	return snapshotprom.Gauge(prefix+name, help, value)
}
