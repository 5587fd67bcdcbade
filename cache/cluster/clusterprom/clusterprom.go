// Package clusterprom exports the counts of a cluster cache to Prometheus. Package registryprom
// does so for the registry below it.
//
//	prometheus.MustRegister(clusterprom.New("users", users), registryprom.New(names.Stats))
//
// The names of the metrics begin with snowfence_cluster_, and each metric has the label cache. They
// are read at each scrape; nothing runs in between.
//
// No metric has a key for a label. The only label whose values are not known beforehand is peer,
// the names of the other nodes. Give nodes names that survive a restart (registry.Config.NodeName);
// otherwise each restart adds series.
//
// # What to look at
//
//	snowfence_cluster_local_loads_total     loads in place of an owner that did not deliver
//	snowfence_cluster_ask_failures_total    by reason: why owners did not deliver
//	snowfence_cluster_peer_up               by peer: 0 if it is passed over
//	snowfence_cluster_peer_synced           by peer: 0 for long if deletes do not reach it
//	snowfence_cluster_peers_differing       nodes with other options of the cluster: should be 0
//	snowfence_cluster_stale_total           callers got old values: loads fail or are late
//	snowfence_cluster_load_duration_seconds by outcome: how long loads take
//	snowfence_cluster_evictions_total       the cache is too small
//	snowfence_cluster_functions_abandoned   calls of Load that still run after their flight is over
//	snowfence_cluster_refused_total         by reason; unauthenticated: wrong keys, or a stranger
//
// Package cacheprom exports more counts of the store: cacheprom.New("users", users.Store()).
package clusterprom

import (
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/snapshotprom"
)

// A Source is a *cluster.Cache.
type Source interface {
	Stats() cluster.Stats
	Inspect() courier.Inspector
}

// New returns a collector of the numbers of c. name becomes the label cache. The collector's
// methods may be called at the same time.
func New(name string, c Source) prometheus.Collector {
	take := func() stats {
		shown := c.Inspect()
		s := stats{Stats: c.Stats(), timings: shown.Timings()}
		for range shown.Resting() {
			s.resting++
		}
		return s
	}
	return snapshotprom.New(take, prometheus.Labels{"cache": name}, cacheMetrics...)
}

type (
	stats struct {
		cluster.Stats
		resting int
		timings courier.Timings
	}
	metric = snapshotprom.Metric[stats]
)

const prefix = "snowfence_cluster_"

var cacheMetrics = []metric{
	counter("hits_total", "Gets, fetches and requests of other nodes that found a fresh value.",
		func(s stats) uint64 { return s.Hits }),
	counter("misses_total", "Those that found none.", func(s stats) uint64 { return s.Misses }),
	counter("stale_total", "Values given although their TTL had ended, since a load failed or was "+
		"late.",
		func(s stats) uint64 { return s.Stale }),
	counter("not_found_total", "Answers that there is no record, of Load or of owners.",
		func(s stats) uint64 { return s.Store.NotFound }),
	counter("not_found_hits_total", "Fetches of keys that were known to have no record.",
		func(s stats) uint64 { return s.Store.NotFoundHits }),
	counter("second_hits_total", "Keys of loads that the second level answered.",
		func(s stats) uint64 { return s.Store.SecondHits }),
	counter("second_stale_total", "Keys of loads for which the second level had a stale value.",
		func(s stats) uint64 { return s.Store.SecondStale }),
	counter("second_misses_total", "Keys of loads that the second level did not answer.",
		func(s stats) uint64 { return s.Store.SecondMisses }),
	counter("second_writes_total", "Records written to the second level.",
		func(s stats) uint64 { return s.Store.SecondWrites }),
	counter("second_errors_total", "Calls of the second level that failed or were late.",
		func(s stats) uint64 { return s.Store.SecondErrors }),
	counter("second_rejected_total", "Records of the second level that could not be used.",
		func(s stats) uint64 { return s.Store.SecondRejected }),
	counter("second_dropped_total", "Results that were not written to the second level.",
		func(s stats) uint64 { return s.Store.SecondDropped }),
	counter("loads_total", "Calls of Load by this node.", func(s stats) uint64 { return s.Loads }),
	counter("load_errors_total", "Calls of Load that failed.",
		func(s stats) uint64 { return s.LoadErrors }),
	counter("local_loads_total", "Calls of Load for keys whose owner did not deliver.",
		func(s stats) uint64 { return s.LocalLoads }),
	counter("asked_total", "Requests for a value that were sent to other nodes.",
		func(s stats) uint64 { return s.Asked }),
	byReason("ask_failures_total",
		"Requests that other nodes did not answer with a value or an error of Load, by reason.",
		func(s stats) map[string]uint64 {
			f := s.AskFailures
			return map[string]uint64{
				"silent": f.Silent, "no_life_signs": f.NoLifeSigns, "unreachable": f.Unreachable,
				"busy":      f.Busy,
				"misplaced": f.Misplaced, "unsendable": f.Unsendable, "wrong_path": f.WrongPath,
				"other_service": f.OtherService,
				"tls_mismatch":  f.TLSMismatch, "denied": f.Denied, "other_version": f.OtherVersion,
				"wrong_cache": f.WrongCache,
				"wrong_node":  f.WrongNode, "rubbish": f.Rubbish, "passed_over": f.PassedOver,
			}
		}),
	counter("served_total", "Values, and answers that there is no record, given to other nodes.",
		func(s stats) uint64 { return s.Served }),
	counter("served_errors_total", "Errors of Load given to other nodes.",
		func(s stats) uint64 { return s.ServedErrors }),
	byReason("refused_total", "Requests of other nodes that were refused, by reason.",
		func(s stats) map[string]uint64 {
			r := s.Refused
			return map[string]uint64{
				"busy": r.Busy, "misplaced": r.Misplaced, "unsendable": r.Unsendable,
				"unauthenticated": r.Unauthenticated, "malformed": r.Malformed,
				"other_version": r.OtherVersion,
			}
		}),
	gauge("suspects", "Keys that one node at a time tries, since a node died while it loaded them.",
		func(s stats) int { return s.Suspects }),
	gauge("quarantined", "Keys that no node loads for a while, since nodes have died while they "+
		"loaded them.", func(s stats) int {
		return s.Quarantined
	}),
	counter("trials_total", "Calls of Load by this node for such keys.",
		func(s stats) uint64 { return s.Trials }),
	gauge("names_held", "Names that this node holds.", func(s stats) int { return s.Held }),
	counter("names_claimed_total", "Names claimed.", func(s stats) uint64 { return s.Claimed }),
	counter("names_released_total", "Names given up.", func(s stats) uint64 { return s.Released }),
	counter("names_lost_total", "Names lost in a conflict.", func(s stats) uint64 { return s.Lost }),
	counter("deletes_total", "Deletes, of keys and tags, and clears called on this node.",
		func(s stats) uint64 { return s.Deletes }),
	counter("deletes_applied_total",
		"Deletes, of keys and tags, and clears of other nodes that were applied here.",
		func(s stats) uint64 {
			return s.DeletesApplied
		}),
	counter("resets_total", "Times that this node cleared its cache because it had missed too many "+
		"deletes.", func(s stats) uint64 {
		return s.Resets
	}),
	gauge("second_pending", "Keys and tags that wait for the second level.",
		func(s stats) int { return s.Store.SecondPending }),
	gauge("entries", "Entries, with the copies.", func(s stats) int { return s.Entries }),
	gauge("copies", "Entries that other nodes own.", func(s stats) int { return s.Copies }),
	gauge("stale_entries", "Entries whose TTL has ended, and that StaleFor keeps.",
		func(s stats) int { return s.Store.StaleEntries }),
	gauge("not_found_keys", "Keys that are remembered as having no record.",
		func(s stats) int { return s.Store.NotFoundKeys }),
	gauge("keys_resting", "Keys that back off after failures.",
		func(s stats) int { return s.resting }),
	counter("evictions_total", "Entries that had to go because there was no room.",
		func(s stats) uint64 { return s.Store.Evictions }),
	counter("expired_total", "Expired entries that were reclaimed.",
		func(s stats) uint64 { return s.Store.Expired }),
	counter("shed_total", "Entries that had to go because memory ran short.",
		func(s stats) uint64 { return s.Store.Shed }),
	counter("rejected_total", "Values that were too heavy to be stored.",
		func(s stats) uint64 { return s.Store.Rejected }),
	counter("refreshes_total", "Loads, and requests for copies, that were started in the background.",
		func(s stats) uint64 { return s.Store.Refreshes }),
	counter("load_panics_total", "Calls of Load, and their linked children, that panicked.",
		func(s stats) uint64 { return s.Store.Panics }),
	counter("callback_panics_total", "Panics of OnEviction.",
		func(s stats) uint64 { return s.Store.CallbackPanics }),
	counter("callbacks_dropped_total", "Entries that left without a call of OnEviction.",
		func(s stats) uint64 { return s.Store.CallbacksDropped }),
	gauge("callers_waiting", "Callers who wait for a value.",
		func(s stats) int { return s.Store.Courier.Waiting }),
	gauge("functions_abandoned", "Loads that were given up and still run.",
		func(s stats) int { return s.Store.Courier.Abandoned }),
	gauge("peers", "Other nodes of this cache.", func(s stats) int { return len(s.Peers) }),
	gauge("peers_differing", "Other nodes that are never asked because they are configured otherwise.",
		func(s stats) int { return count(s, differs) }),
	byPeer("peer_up", "Whether another node is asked (1), or has failed and not answered since (0).",
		func(p cluster.PeerStats) bool { return p.Breaker == "closed" }),
	byPeer("peer_synced", "Whether another node has applied all deletes that are known here.",
		func(p cluster.PeerStats) bool { return p.Synced }),
	snapshotprom.Histogram(prefix+"load_duration_seconds",
		"Time that loads of this node and requests to owners took, by their outcome.",
		[]string{"outcome"}, func(s stats, set func(snapshotprom.Durations, ...string)) {
			set(of(s.timings.Flights[courier.EndValue]), courier.EndValue.String())
			for end, h := range s.timings.Flights {
				if end != courier.EndValue {
					set(of(h), end.String())
				}
			}
		}),
	snapshotprom.Histogram(prefix+"wait_duration_seconds",
		"Time for which callers waited for values.", nil,
		func(s stats, set func(snapshotprom.Durations, ...string)) { set(of(&s.timings.Waits)) }),
}

// of returns h in the form of Prometheus. nil is empty.
func of(h *courier.Histogram) snapshotprom.Durations {
	if h == nil {
		h = &courier.Histogram{}
	}
	return snapshotprom.Durations{Count: h.Count, Sum: h.Sum, Buckets: h.Buckets()}
}

func counter(name, help string, value func(stats) uint64) metric {
	return snapshotprom.Counter(prefix+name, help, value)
}

func gauge(name, help string, value func(stats) int) metric {
	return snapshotprom.Gauge(prefix+name, help, value)
}

func byReason(name, help string, values func(stats) map[string]uint64) metric {
	return metric{
		Name: prefix + name, Help: help, Kind: prometheus.CounterValue, Labels: []string{"reason"},
		Each: func(s stats, set func(float64, ...string)) {
			for reason, n := range values(s) {
				set(float64(n), reason)
			}
		},
	}
}

// byPeer returns a gauge of 0 or 1 for each node that is asked at all.
func byPeer(name, help string, is func(cluster.PeerStats) bool) metric {
	return metric{
		Name: prefix + name, Help: help, Kind: prometheus.GaugeValue, Labels: []string{"peer"},
		Each: func(s stats, set func(float64, ...string)) {
			for _, p := range s.Peers {
				value := 0.0
				if is(p) {
					value = 1
				}
				if !differs(p) {
					set(value, label(p.Node))
				}
			}
		},
	}
}

// label returns the name of a node as a label, which has to be UTF-8. The registry checks the name
// of its own node alone.
func label(node string) string {
	if utf8.ValidString(node) {
		return node
	}
	return strconv.Quote(node)
}

func differs(p cluster.PeerStats) bool { return p.Differs != "" }

func count(s stats, is func(cluster.PeerStats) bool) (n int) {
	for _, p := range s.Peers {
		if is(p) {
			n++
		}
	}
	return n
}
