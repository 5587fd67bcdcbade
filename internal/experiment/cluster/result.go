package cluster

import (
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
)

// A Result is what the runs showed.
type Result struct {
	Runs    []*Run `json:"runs"`
	Partial bool   `json:"-"` // stopped: the last run is incomplete, or some are missing
}

// A Run is what one run showed. Times are in seconds.
type Run struct {
	Ownership Ownership      `json:"ownership"`
	Victims   []string       `json:"victims"` // the nodes that the disturbance was for
	Seconds   measured.Value `json:"seconds"`

	Fetches uint64 `json:"fetches"` // that were begun, on all nodes
	Lost    uint64 `json:"lost"`    // of these, the ones whose node was killed before they ended

	Before Phase `json:"before"`
	During Phase `json:"during"`
	After  Phase `json:"after"`

	Loads Loads `json:"loads"` // by the origin, of the whole run

	// Heal is the time from the end of the disturbance (of kill: from its beginning) until the rate
	// of loads, the errors and the 99th percentile of the latency were back in the range that they
	// had before, and stayed there; and, where all nodes are in place again, until they see each
	// other.
	Heal measured.Value `json:"heal_seconds"`

	Poison *PoisonResult `json:"poison,omitempty"` // of that disturbance

	// What must be 0, or empty.
	Wrong   uint64 `json:"wrong"`   // values that the origin never issued for that key
	Stale   uint64 `json:"stale"`   // values that were older than their TTL allows
	Late    uint64 `json:"late"`    // fetches that did not end by their deadline, with some tolerance
	Failure string `json:"failure"` // the first error of a fetch that nothing explains

	Stats Stats `json:"stats"` // of all nodes together, as far as they were alive to report

	Series []series.Series `json:"-"`
}

// A PoisonResult says what a key did whose load ended its process.
type PoisonResult struct {
	Deaths  int            `json:"deaths"`        // nodes that died of it
	Refused uint64         `json:"refused"`       // fetches of it that failed
	Others  uint64         `json:"other_errors"`  // fetches of other keys that failed
	Again   measured.Value `json:"again_seconds"` // from when it was harmless until it was served for good
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

// Loads counts what the origin was asked for.
type Loads struct {
	Total  uint64         `json:"total"`
	Keys   int            `json:"keys"`    // that were loaded at all
	PerKey measured.Value `json:"per_key"` // the mean

	// Ideal counts the loads that one cache for all nodes, which never fails and never evicts, would
	// have needed for the same fetches: one for each time that a key is fetched and the load before
	// is older than the TTL. Total/Ideal is the number to look at: 1 is the best there is, and
	// without a cluster it goes towards the number of nodes.
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

// phases returns the phases in the order of time.
func (x *Run) phases() []Phase { return []Phase{x.Before, x.During, x.After} }

// kinds counts the errors of a run by their kind.
func (x *Run) kinds() map[string]uint64 {
	all := make(map[string]uint64)
	for _, p := range x.phases() {
		for kind, n := range p.Errors {
			all[kind] += n
		}
	}
	return all
}

func (p Phase) errors() (n uint64) {
	for _, of := range p.Errors {
		n += of
	}
	return n
}

func (x *Run) errors() uint64 { return x.Before.errors() + x.During.errors() + x.After.errors() }

// againstIdeal returns the loads as a multiple of the ideal, which does not exist if that is 0.
func (x *Run) againstIdeal() measured.Value {
	return measured.Value(float64(x.Loads.Total) / float64(x.Loads.Ideal))
}

// againstNone returns the share of the loads that nodes without a cluster cause, if there was such
// a run. Each is measured against its ideal, since a node that is away for longer has fewer
// fetches.
func (r *Result) againstNone(x *Run) measured.Value {
	for _, none := range r.Runs {
		if none.Ownership == None {
			return x.againstIdeal() / none.againstIdeal()
		}
	}
	return measured.None()
}

// The names of the series.
const (
	seriesLoads   = "origin_loads_per_second"
	seriesP50     = "latency_p50_seconds"
	seriesP99     = "latency_p99_seconds"
	seriesErrors  = "errors_per_second"
	seriesFetches = "fetches_per_second"
	seriesLocal   = "local_loads_per_second"
)
