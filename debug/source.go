package debug

import (
	"sync"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// A Source is something that the page shows. [Cache], [Courier] and clusterdebug.New make one. Its
// methods are called by one goroutine at a time.
type Source interface {
	// Inspect returns the courier whose flights are shown.
	Inspect() courier.Inspector
	// State returns the rest. keys is the number of hot keys that can be shown.
	State(keys int) State
}

// A State holds what a source shows in addition to its courier.
type State struct {
	Kind     string // a word: cache, cluster, courier
	Counts   []Count
	Hottest  *cache.HotKeys // nil: not known
	Members  []Member
	Suspects []Suspect
}

// A Count is a number with a name. The names hits and misses make a hit ratio.
type Count struct {
	Name  string // in JSON; it does not change between releases
	Value uint64
	Gauge bool // a present state, and not a count since the start

	// Attention says what is wrong if a count grows, or a gauge is not 0; empty: nothing.
	Attention string
}

// A Member is another node of a cluster, as this one sees it.
type Member struct {
	Node    string `json:"node"`
	URL     string `json:"url,omitempty"`
	Breaker string `json:"breaker,omitempty"` // closed, open or half-open: see cluster.PeerStats
	Synced  bool   `json:"synced"`            // it has all deletes that are known here
	Differs string `json:"differs,omitempty"` // why it is never asked
	Failure string `json:"failure,omitempty"` // the last one, if Breaker is not closed
	Self    bool   `json:"self,omitempty"`
	Slots   int    `json:"slots,omitempty"` // that it owns
}

// A Suspect is a key whose load may end a process: see package cluster.
type Suspect struct {
	Key     any       `json:"-"`
	KeyText string    `json:"key"`
	State   string    `json:"state"`           // suspect, on trial or quarantined
	Died    []string  `json:"died,omitempty"`  // the nodes that died while they loaded it
	Trier   string    `json:"trier,omitempty"` // the node whose turn it is to load it
	Until   time.Time `json:"until,omitzero"`  // the end of the quarantine
}

// CacheStats is the part of a *cache.Cache, or of a *cache.Loading, that Cache shows.
type CacheStats interface {
	Inspect() courier.Inspector
	Stats() cache.Stats
	Len() int
	Hottest(n int) cache.HotKeys
}

// Cache returns a Source that shows c, and starts the sample of c's hits.
func Cache(c CacheStats) Source {
	c.Hottest(0)
	return cacheSource{c}
}

type cacheSource struct{ CacheStats }

func (s cacheSource) State(keys int) State {
	stats := s.Stats()
	hot := s.Hottest(keys)
	return State{
		Kind: "cache", Hottest: &hot,
		Counts: append(CacheCounts(stats, s.Len()), CourierCounts(stats.Courier)...),
	}
}

// CacheCounts returns the counts of a cache without those of its courier, for a Source.
func CacheCounts(s cache.Stats, entries int) []Count {
	return []Count{
		{Name: "entries", Value: uint64(max(0, entries)), Gauge: true}, //nolint:gosec // not negative
		{Name: "hits", Value: s.Hits},
		{Name: "misses", Value: s.Misses},
		{Name: "stale", Value: s.Stale, Attention: "callers get stale values"},
		{Name: "not_found", Value: s.NotFound},
		{Name: "not_found_hits", Value: s.NotFoundHits},
		{Name: "loads", Value: s.Loads},
		{Name: "load_errors", Value: s.LoadErrors, Attention: "loads fail"},
		{Name: "refreshes", Value: s.Refreshes},
		{Name: "evictions", Value: s.Evictions},
		{Name: "expired", Value: s.Expired},
		{Name: "shed", Value: s.Shed, Attention: "entries are given up near the memory limit"},
		{Name: "rejected", Value: s.Rejected, Attention: "values are too heavy to be stored"},
		{Name: "callback_panics", Value: s.CallbackPanics, Attention: "OnEviction panics"},
		{Name: "callbacks_dropped", Value: s.CallbacksDropped,
			Attention: "OnEviction is too slow: notifications are dropped"},
		{Name: "second_hits", Value: s.SecondHits},
		{Name: "second_stale", Value: s.SecondStale},
		{Name: "second_misses", Value: s.SecondMisses},
		{Name: "second_writes", Value: s.SecondWrites},
		{Name: "second_errors", Value: s.SecondErrors, Attention: "the second level fails"},
		{Name: "second_rejected", Value: s.SecondRejected},
		{Name: "second_dropped", Value: s.SecondDropped},
		{Name: "second_pending", Value: uint64(max(0, s.SecondPending)), //nolint:gosec // not negative
			Gauge: true},
	}
}

// Courier returns a Source that shows a courier, such as a *courier.Courier.
func Courier(c courier.Inspector) Source { return courierSource{c} }

type courierSource struct{ c courier.Inspector }

func (s courierSource) Inspect() courier.Inspector { return s.c }

func (s courierSource) State(int) State {
	return State{Kind: "courier", Counts: CourierCounts(s.c.Stats())}
}

// CourierCounts returns the counts of a courier, for a Source.
func CourierCounts(s courier.Stats) []Count {
	return []Count{
		{Name: "in_flight", Value: uint64(max(0, s.InFlight)), Gauge: true},  //nolint:gosec // as above
		{Name: "waiting", Value: uint64(max(0, s.Waiting)), Gauge: true},     //nolint:gosec // as above
		{Name: "abandoned", Value: uint64(max(0, s.Abandoned)), Gauge: true}, //nolint:gosec // as above
		{Name: "flights", Value: s.Started},
		{Name: "joined", Value: s.Joined},
		{Name: "late", Value: s.Late, Attention: "flights take longer than their callers wait"},
		{Name: "timeouts", Value: s.Timeouts, Attention: "flights time out"},
		{Name: "panics", Value: s.Panics, Attention: "fetch functions panic"},
		{Name: "goexits", Value: s.Goexits, Attention: "fetch functions call runtime.Goexit"},
		{Name: "deadlocks", Value: s.Deadlocks, Attention: "fetches wait for each other in a cycle"},
		{Name: "overloads", Value: s.Overloads, Attention: "a limit is reached: callers are refused"},
		{Name: "backed_off", Value: s.BackedOff},
		{Name: "deserted", Value: s.Deserted},
		{Name: "abandoned_total", Value: s.AbandonedTotal},
	}
}

// A source is one that was added.
type source struct {
	name string
	of   Source

	mu   sync.Mutex // guards past
	past rates
}
