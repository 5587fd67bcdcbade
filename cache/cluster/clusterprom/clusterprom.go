// Package clusterprom shows the counts of a cluster's cache, and of the registry below it, to Prometheus.
//
//	prometheus.MustRegister(clusterprom.New("users", users.Stats), clusterprom.NewRegistry(names.Stats))
//
// The metrics of a cache begin with snowfence_cluster_ and have the label cache; those of the registry begin with
// snowfence_registry_. They are read when Prometheus asks for them; nothing runs meanwhile.
//
// No metric has a key, or a name of the registry, for a label, and none has one for each partition. The only labels whose values
// are not known beforehand are those of peer, the names of the other nodes. Give nodes names that they keep when they are started
// again (registry.Config.NodeName), or each start adds series.
//
// # What to look at
//
//	snowfence_cluster_local_loads_total      loads that the owner should have done; more than a few: why?
//	snowfence_cluster_ask_failures_total     by reason, why owners did not deliver
//	snowfence_cluster_peer_up                by peer, which one does not
//	snowfence_cluster_peer_synced            by peer, 0 for long: it has not heard of deletes
//	snowfence_cluster_peers_differing        nodes that were configured otherwise, and take no part: should be 0
//	snowfence_cluster_local_rejected_total   too many loads for others at once: callers got errors
//	snowfence_cluster_evictions_total        the cache is too small
//	snowfence_cluster_functions_abandoned    calls of Load that were given up and still run: they hang
//	snowfence_cluster_refused_total          reason unauthenticated: wrong keys, or somebody who should not be there
//	snowfence_registry_members               nodes; if they differ from node to node, the cluster is split
//	snowfence_registry_queue_age_seconds     grows if news does not get out
//	snowfence_registry_disagreements_total   a resolver is wrong: should be 0
//
// What the two stores of a cache do in detail, those of own entries and of copies, is what package cacheprom shows:
//
//	cacheprom.New("users-owned", func() cache.Stats { return users.Stats().Owned }, func() int { return users.Stats().OwnedEntries })
package clusterprom

import (
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/internal/snapshotprom"
)

// New returns a collector of what stats returns, usually the method Stats of a cluster.Cache. name becomes the label cache. Its
// methods may be called at the same time.
func New(name string, stats func() cluster.Stats) prometheus.Collector {
	return snapshotprom.New(stats, prometheus.Labels{"cache": name}, cacheMetrics...)
}

type (
	stats  = cluster.Stats
	metric = snapshotprom.Metric[stats]
)

const prefix = "snowfence_cluster_"

var cacheMetrics = []metric{
	counter("hits_total", "Gets, fetches and requests of other nodes that found an entry of this node.", func(s stats) uint64 { return s.Hits }),
	counter("copy_hits_total", "Gets and fetches that found a copy.", func(s stats) uint64 { return s.CopyHits }),
	counter("misses_total", "Gets and fetches that found neither.", func(s stats) uint64 { return s.Misses }),
	counter("loads_total", "Calls of Load by this node.", func(s stats) uint64 { return s.Loads }),
	counter("load_errors_total", "Calls of Load that gave no value.", func(s stats) uint64 { return s.LoadErrors }),
	counter("local_loads_total", "Calls of Load for keys whose owner did not deliver.", func(s stats) uint64 { return s.LocalLoads }),
	counter("local_rejected_total", "Such calls that were refused because too many were running.", func(s stats) uint64 { return s.LocalRejected }),
	counter("asked_total", "Requests for a value that were sent to other nodes.", func(s stats) uint64 { return s.Asked }),
	byReason("ask_failures_total", "Requests that other nodes did not answer with a value or an error of Load, by reason.", func(s stats) map[string]uint64 {
		f := s.AskFailures
		return map[string]uint64{
			"silent": f.Silent, "unreachable": f.Unreachable, "busy": f.Busy, "misplaced": f.Misplaced, "rubbish": f.Rubbish,
			"other_version": f.OtherVersion, "denied": f.Denied, "passed_over": f.PassedOver,
		}
	}),
	counter("served_total", "Values given to other nodes.", func(s stats) uint64 { return s.Served }),
	counter("served_errors_total", "Errors of Load given to other nodes.", func(s stats) uint64 { return s.ServedErrors }),
	byReason("refused_total", "Requests of other nodes that were refused, by reason.", func(s stats) map[string]uint64 {
		r := s.Refused
		return map[string]uint64{
			"busy": r.Busy, "misplaced": r.Misplaced, "unauthenticated": r.Unauthenticated, "malformed": r.Malformed,
			"other_version": r.OtherVersion,
		}
	}),
	gauge("names_held", "Names that this node holds.", func(s stats) int { return s.Held }),
	counter("names_claimed_total", "Names claimed.", func(s stats) uint64 { return s.Claimed }),
	counter("names_released_total", "Names given up.", func(s stats) uint64 { return s.Released }),
	counter("names_lost_total", "Names lost in a conflict.", func(s stats) uint64 { return s.Lost }),
	counter("deletes_total", "Deletes and clears called on this node.", func(s stats) uint64 { return s.Deletes }),
	counter("deletes_applied_total", "Deletes and clears of other nodes that were applied here.", func(s stats) uint64 { return s.DeletesApplied }),
	counter("resets_total", "Times that this node cleared its cache because it had missed too many deletes.", func(s stats) uint64 { return s.Resets }),
	gauge("entries", "Entries that this node owns.", func(s stats) int { return s.OwnedEntries }),
	gauge("copies", "Copies that this node keeps.", func(s stats) int { return s.CopyEntries }),
	byStore("evictions_total", "Entries and copies that had to go because there was no room, by store.", func(s cache.Stats) uint64 { return s.Evictions }),
	byStore("expired_total", "Expired entries and copies that were reclaimed, by store.", func(s cache.Stats) uint64 { return s.Expired }),
	byStore("shed_total", "Entries and copies that had to go because memory ran short, by store.", func(s cache.Stats) uint64 { return s.Shed }),
	byStore("rejected_total", "Values that were too heavy to be stored, by store.", func(s cache.Stats) uint64 { return s.Rejected }),
	counter("refreshes_total", "Loads of own entries that were started in the background.", func(s stats) uint64 { return s.Owned.Refreshes }),
	counter("load_panics_total", "Calls of Load, and their linked children, that panicked.", func(s stats) uint64 { return s.Owned.Panics + s.Local.Panics }),
	counter("callback_panics_total", "Panics of OnEviction.", func(s stats) uint64 { return s.Owned.CallbackPanics }),
	counter("callbacks_dropped_total", "Entries that left without a call of OnEviction.", func(s stats) uint64 { return s.Owned.CallbacksDropped }),
	gauge("callers_waiting", "Callers who wait for a value.", func(s stats) int { return s.Owned.Courier.Waiting + s.Copies.Courier.Waiting }),
	gauge("functions_abandoned", "Loads that were given up and still run.", func(s stats) int {
		return s.Owned.Courier.Abandoned + s.Copies.Courier.Abandoned + s.Local.Abandoned
	}),
	gauge("peers", "Other nodes of this cache.", func(s stats) int { return len(s.Peers) }),
	gauge("peers_differing", "Other nodes that are never asked because they are configured otherwise.", func(s stats) int { return count(s, differs) }),
	byPeer("peer_up", "Whether another node is asked (1), or has failed and not answered since (0).", func(p cluster.PeerStats) bool { return p.Breaker == "closed" }),
	byPeer("peer_synced", "Whether another node has applied all deletes that are known here.", func(p cluster.PeerStats) bool { return p.Synced }),
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

// byStore is a counter of each of the two stores.
func byStore(name, help string, value func(cache.Stats) uint64) metric {
	return metric{
		Name: prefix + name, Help: help, Kind: prometheus.CounterValue, Labels: []string{"store"},
		Each: func(s stats, set func(float64, ...string)) {
			set(float64(value(s.Owned)), "owned")
			set(float64(value(s.Copies)), "copies")
		},
	}
}

// byPeer is a gauge of 0 or 1 for each node that is asked at all.
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

// label returns the name of a node as a label, which has to be UTF-8. Names are, but who checks those of others is others.
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
