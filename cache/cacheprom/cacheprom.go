// Package cacheprom shows the counts of a cache to Prometheus.
//
//	users, err := cache.New(cache.Options[string, *User]{…})
//	prometheus.MustRegister(cacheprom.New("users", users.Stats, users.Len))
//
// The metrics begin with snowfence_cache_ and have the label cache. They are read when Prometheus asks for them; nothing
// runs meanwhile. What to look at: the share of hits (hits_total against misses_total); load_errors_total;
// callers_waiting, which grows when loads are slow; and functions_abandoned, which counts fetch functions that were given up
// and still run: they hang.
package cacheprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/snapshotprom"
)

// New returns a collector of what stats returns, usually the method Stats of a cache, and of the number of its entries, the method
// Len. name becomes the label cache. Its methods may be called at the same time.
func New(name string, stats func() cache.Stats, entries func() int) prometheus.Collector {
	return snapshotprom.New(func() snapshot { return snapshot{stats(), entries()} }, prometheus.Labels{"cache": name}, metrics...)
}

type snapshot struct {
	cache.Stats
	entries int
}

const prefix = "snowfence_cache_"

var metrics = []snapshotprom.Metric[snapshot]{
	snapshotprom.Gauge(prefix+"entries", "Entries that are stored.", func(s snapshot) int { return s.entries }),
	counter("hits_total", "Gets and fetches that found a value.", func(s snapshot) uint64 { return s.Hits }),
	counter("misses_total", "Gets and fetches that did not.", func(s snapshot) uint64 { return s.Misses }),
	counter("loads_total", "Fetch functions called.", func(s snapshot) uint64 { return s.Loads }),
	counter("load_errors_total", "Loads that ended and gave no value, or too late.", func(s snapshot) uint64 { return s.LoadErrors }),
	counter("load_panics_total", "Fetch functions, and their linked children, that panicked.", func(s snapshot) uint64 { return s.Panics }),
	counter("refreshes_total", "Loads started in the background.", func(s snapshot) uint64 { return s.Refreshes }),
	counter("evictions_total", "Entries that had to go because the cache was full.", func(s snapshot) uint64 { return s.Evictions }),
	counter("expired_total", "Expired entries that were reclaimed.", func(s snapshot) uint64 { return s.Expired }),
	counter("shed_total", "Entries that had to go because memory ran short.", func(s snapshot) uint64 { return s.Shed }),
	counter("rejected_total", "Values that were too heavy to be stored.", func(s snapshot) uint64 { return s.Rejected }),
	counter("callback_panics_total", "Panics of OnEviction.", func(s snapshot) uint64 { return s.CallbackPanics }),
	counter("callbacks_dropped_total", "Entries that left without a call of OnEviction.", func(s snapshot) uint64 { return s.CallbacksDropped }),

	counter("flights_total", "Flights started.", func(s snapshot) uint64 { return s.Courier.Started }),
	counter("flights_joined_total", "Callers who joined a flight of somebody else.", func(s snapshot) uint64 { return s.Courier.Joined }),
	counter("flights_timed_out_total", "Flights that ended because their time was up.", func(s snapshot) uint64 { return s.Courier.Timeouts }),
	counter("flights_late_total", "Flights that let a caller down: its deadline passed while it waited.", func(s snapshot) uint64 { return s.Courier.Late }),
	counter("flights_deserted_total", "Flights cancelled because their last caller left.", func(s snapshot) uint64 { return s.Courier.Deserted }),
	counter("goexits_total", "Fetch functions and children that called runtime.Goexit.", func(s snapshot) uint64 { return s.Courier.Goexits }),
	counter("deadlocks_total", "Calls that would have waited for themselves.", func(s snapshot) uint64 { return s.Courier.Deadlocks }),
	counter("overloads_total", "Calls and flights that were refused because of a limit.", func(s snapshot) uint64 { return s.Courier.Overloads }),
	counter("backed_off_total", "Calls refused because their key had failed lately.", func(s snapshot) uint64 { return s.Courier.BackedOff }),
	counter("functions_abandoned_total", "Functions that were ever given up while they ran.", func(s snapshot) uint64 { return s.Courier.AbandonedTotal }),
	snapshotprom.Gauge(prefix+"flights", "Flights under way.", func(s snapshot) int { return s.Courier.InFlight }),
	snapshotprom.Gauge(prefix+"callers_waiting", "Callers who wait for a flight.", func(s snapshot) int { return s.Courier.Waiting }),
	snapshotprom.Gauge(prefix+"functions_abandoned", "Functions that were given up and still run.", func(s snapshot) int { return s.Courier.Abandoned }),
}

func counter(name, help string, value func(snapshot) uint64) snapshotprom.Metric[snapshot] {
	return snapshotprom.Counter(prefix+name, help, value)
}
