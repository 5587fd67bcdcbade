// Package cacheprom exports the numbers of a cache to Prometheus.
//
//	users, err := cache.New(cache.Options[string, *User]{…})
//	prometheus.MustRegister(cacheprom.New("users", users))
//
// The names of the metrics begin with snowfence_cache_, and each has the label cache. They are
// read at each scrape; no goroutine runs between scrapes, and a load costs no more than without.
//
// Watch these: hits_total and misses_total, for the hit ratio; stale_total, which grows while the
// origin fails and callers get older values instead; load_errors_total; callers_waiting, which
// grows when loads are slow; and functions_abandoned, the flights that are over but whose fetch
// functions still run, because they hang.
//
// # Durations
//
// load_duration_seconds has the time that flights took, with the label outcome: value, answer (an
// error that is no failure, such as ErrNotFound), error, panic, goexit, timeout, cancelled,
// overloaded or closed. wait_duration_seconds has the time for which callers waited; hits are not
// in there. A caller that joins a flight waits for less than that takes, and many callers of a slow
// flight are many waits.
//
// Both are native histograms with schema 2, whose buckets are 19 % wide, and have classic buckets
// from 122 µs to 64 s as well. Prometheus reads the native ones where it scrapes native histograms;
// see the page on operations for queries.
package cacheprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/cache/internal/metrics"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/snapshotprom"
)

// A Source is a *cache.Cache or *cache.Loading, or the Store of a *cluster.Cache.
type Source = metrics.Source

// New returns a collector for one cache. name is the value of the label cache, and must be unique
// among the caches of a Prometheus registry. The collector calls the methods of c at each scrape.
func New(name string, c Source) prometheus.Collector {
	take := func() snapshot { return metrics.Take(c) }
	return snapshotprom.New(take, prometheus.Labels{"cache": name}, all()...)
}

type snapshot = metrics.Snapshot

const prefix = "snowfence_cache_"

// all returns the metrics in the form of Prometheus.
func all() (all []snapshotprom.Metric[snapshot]) {
	for _, m := range metrics.All {
		if m.Count != nil {
			all = append(all, snapshotprom.Counter(prefix+m.Name+"_total", m.Help, m.Count))
		} else {
			all = append(all, snapshotprom.Gauge(prefix+m.Name, m.Help, m.State))
		}
	}
	return append(all, durations()...)
}

func durations() []snapshotprom.Metric[snapshot] {
	type set = func(d snapshotprom.Durations, labels ...string)
	return []snapshotprom.Metric[snapshot]{
		snapshotprom.Histogram(prefix+metrics.LoadDuration+"_seconds", metrics.LoadDurationHelp,
			[]string{metrics.Outcome}, func(s snapshot, set set) {
				for _, end := range metrics.Ends {
					if h, ok := s.LoadDurations(end); ok {
						set(of(h), end.String())
					}
				}
			}),
		snapshotprom.Histogram(prefix+metrics.WaitDuration+"_seconds", metrics.WaitDurationHelp, nil,
			func(s snapshot, set set) { set(of(&s.Timings.Waits)) }),
	}
}

func of(h *courier.Histogram) snapshotprom.Durations {
	return snapshotprom.Durations{Count: h.Count, Sum: h.Sum, Buckets: h.Buckets()}
}
