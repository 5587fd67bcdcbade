package cluster

import (
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
)

// A Result is what the runs showed.
type Result struct {
	Seed    uint64 `json:"seed"`
	Partial bool   `json:"partial"` // stopped: the last run is incomplete, or some are missing
	Runs    []*Run `json:"runs"`
}

// A Run is what one run showed. Times are in seconds.
type Run struct {
	Ownership Ownership      `json:"ownership"`
	Nodes     int            `json:"nodes"`
	Struck    []string       `json:"struck"` // the nodes that the disturbance was for
	Seconds   measured.Value `json:"seconds"`

	Fetches uint64 `json:"fetches"` // that were begun, on all nodes
	Lost    uint64 `json:"lost"`    // of these, the ones whose node was killed before they ended

	Before Phase `json:"before"`
	During Phase `json:"during"`
	After  Phase `json:"after"`

	Loads Loads `json:"loads"` // by the origin, of the whole run

	// Heal is the time from the end of the disturbance (of Kill: from its beginning) until the rate of
	// loads, the errors and the 99th percentile of the latency were back in the range that they had
	// before, and stayed there.
	Heal measured.Value `json:"heal_seconds"`

	Poison *PoisonResult `json:"poison,omitempty"` // of that disturbance

	// What may never be.
	Wrong   uint64 `json:"wrong"`   // values that the origin never issued for that key
	Stale   uint64 `json:"stale"`   // values that were older than their TTL allows
	Late    uint64 `json:"late"`    // fetches that did not end by their deadline, with some tolerance
	Failure string `json:"failure"` // the first error of a fetch that nothing explains

	Stats Stats `json:"stats"` // of all nodes together, as far as they were alive to tell

	Series []series.Series `json:"-"`
}

// A PoisonResult says what a key did whose load ended its process.
type PoisonResult struct {
	Deaths int `json:"deaths"` // nodes that died of it
	// fetches of it that failed, as it was quarantined or its node died
	Refused uint64 `json:"refused"`
	Others  uint64 `json:"other_errors"` // fetches of other keys that failed
	// from when it was harmless until it was served, and went on to be
	Again measured.Value `json:"again_seconds"`
}

// A Phase is a part of a run: before the disturbance, during it, or after it.
type Phase struct {
	Seconds measured.Value    `json:"seconds"`
	Fetches uint64            `json:"fetches"`
	Latency measured.Spread   `json:"latency"` // from when the fetch was to begin
	P999    measured.Value    `json:"latency_p999_seconds"`
	Loads   uint64            `json:"loads"`
	Errors  map[string]uint64 `json:"errors"` // by kind; nil if there were none
}

// Loads is what the origin was asked for.
type Loads struct {
	Total  uint64         `json:"total"`
	Keys   int            `json:"keys"`    // that were loaded at all
	PerKey measured.Value `json:"per_key"` // the mean

	// Ideal is how many loads one cache for all nodes, which never fails and never evicts, would have
	// needed for the same fetches: one for each time that a key is fetched and the load before is
	// older than the TTL. Total/Ideal is the number to look at: 1 is the best there is, and without a
	// cluster it goes towards the number of nodes.
	Ideal uint64 `json:"ideal"`

	// Reasons counts why loads were allowed; nil if the caches hold fewer than all keys. Broken
	// describes those that were not.
	Reasons map[Reason]uint64 `json:"reasons"`
	Broken  []string          `json:"broken"`

	// Same counts how often a key was loaded n times within one TTL: Same[0] for n = 1, and so on.
	Same []uint64 `json:"same"`
}

// Stats are those of the nodes' caches, added up.
type Stats struct {
	Hits        uint64 `json:"hits"`
	Misses      uint64 `json:"misses"`
	Loads       uint64 `json:"loads"`
	LocalLoads  uint64 `json:"local_loads"`
	Asked       uint64 `json:"asked"`
	AskFailures uint64 `json:"ask_failures"`
	Held        int    `json:"held"`  // names at the end
	Moved       uint64 `json:"moved"` // names that were claimed after the run's first second
	Lost        uint64 `json:"lost"`
}

// The names of the series.
const (
	SeriesLoads   = "origin_loads_per_second"
	SeriesP50     = "latency_p50_seconds"
	SeriesP99     = "latency_p99_seconds"
	SeriesErrors  = "errors_per_second"
	SeriesFetches = "fetches_per_second"
	SeriesLocal   = "local_loads_per_second"
)
