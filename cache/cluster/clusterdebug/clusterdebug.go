// Package clusterdebug shows a cache of a cluster on the page of package debug.
//
//	page.Add("users", clusterdebug.New(users))
//
// In addition to what the page shows of any cache, it shows the other members as this node sees
// them: whether they are asked, what failed last, whether they have all deletes, which options
// differ, and how many slots each owns. It also shows the keys that are suspect or quarantined,
// since a node died while it loaded them.
package clusterdebug

import (
	"maps"
	"slices"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/debug"
)

// A Cluster is the part of a *cluster.Cache that is shown.
type Cluster interface {
	Inspect() courier.Inspector
	Stats() cluster.Stats
	Hottest(n int) cache.HotKeys
	Node() string
	Slots() map[string]int
	Suspects() []cluster.SuspectKey
}

// New returns a source that shows c, a *cluster.Cache, and starts the sample of c's hits.
func New(c Cluster) debug.Source {
	c.Hottest(0)
	return source{c}
}

type source struct{ Cluster }

// State implements debug.Source.
func (s source) State(keys int) debug.State {
	stats := s.Stats()
	hot := s.Hottest(keys)
	return debug.State{
		Kind: "cluster", Counts: counts(stats), Hottest: &hot,
		Members: members(s.Node(), s.Slots(), stats.Peers), Suspects: s.suspects(),
	}
}

// counts returns the counts of the cluster, and those of its store that do not repeat them.
func counts(s cluster.Stats) []debug.Count {
	list := []debug.Count{
		{Name: "entries", Value: number(s.Entries), Gauge: true},
		{Name: "copies", Value: number(s.Copies), Gauge: true},
		{Name: "hits", Value: s.Hits},
		{Name: "misses", Value: s.Misses},
		{Name: "stale", Value: s.Stale, Attention: "callers get stale values"},
		{Name: "loads", Value: s.Loads},
		{Name: "load_errors", Value: s.LoadErrors, Attention: "loads fail"},
		{Name: "local_loads", Value: s.LocalLoads,
			Attention: "owners do not deliver: this node loads in their place"},
		{Name: "asked", Value: s.Asked},
		{Name: "served", Value: s.Served},
		{Name: "served_errors", Value: s.ServedErrors},
		{Name: "refused_busy", Value: s.Refused.Busy,
			Attention: "requests of other nodes are refused: a limit is reached"},
		{Name: "refused_unauthenticated", Value: s.Refused.Unauthenticated,
			Attention: "requests with wrong credentials are refused"},
		{Name: "suspects", Value: number(s.Suspects), Gauge: true,
			Attention: "keys are tried by one node at a time, since a node died while it loaded them"},
		{Name: "quarantined", Value: number(s.Quarantined), Gauge: true,
			Attention: "keys are quarantined, since nodes died while they loaded them"},
		{Name: "trials", Value: s.Trials},
		{Name: "names_held", Value: number(s.Held), Gauge: true},
		{Name: "names_claimed", Value: s.Claimed},
		{Name: "names_released", Value: s.Released},
		{Name: "names_lost", Value: s.Lost},
		{Name: "deletes", Value: s.Deletes},
		{Name: "deletes_applied", Value: s.DeletesApplied},
		{Name: "resets", Value: s.Resets, Attention: "this node has missed too many deletes"},
	}
	known := make(map[string]bool)
	for _, c := range list {
		known[c.Name] = true
	}
	store := append(debug.CacheCounts(s.Store, s.Entries), debug.CourierCounts(s.Store.Courier)...)
	for _, c := range store {
		if !known[c.Name] {
			list = append(list, c)
		}
	}
	return list
}

func number(n int) uint64 { return uint64(max(0, n)) } //nolint:gosec // not negative

// members returns this node and its peers, sorted by name.
func members(self string, slots map[string]int, peers []cluster.PeerStats) []debug.Member {
	all := map[string]debug.Member{self: {Node: self, Self: true, Synced: true, Slots: slots[self]}}
	for _, p := range peers {
		all[p.Node] = debug.Member{
			Node: p.Node, URL: p.URL, Breaker: p.Breaker, Synced: p.Synced, Differs: p.Differs,
			Failure: p.Failure, Slots: slots[p.Node],
		}
	}
	list := make([]debug.Member, 0, len(all))
	for _, node := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[node])
	}
	return list
}

func (s source) suspects() (list []debug.Suspect) {
	text := s.Inspect().KeyText
	for _, k := range s.Suspects() {
		list = append(list, debug.Suspect{
			Key: k.Key, KeyText: text(k.Key), State: k.State, Died: k.Died, Trier: k.Trier,
			Until: k.Until,
		})
	}
	return list
}
