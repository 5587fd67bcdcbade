package run

import (
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/verdict"
)

// A Result holds the measurements of a run, after its warm-up.
type Result struct {
	Partial bool `json:"-"` // the run was interrupted

	Elapsed    measured.Value `json:"elapsed_seconds"` // of operations beginning
	Operations uint64         `json:"operations"`
	Skipped    uint64         `json:"warmup_operations"`
	CutOff     uint64         `json:"cut_off"` // reads that an interruption ended; not in Operations
	PerSecond  float64        `json:"operations_per_second"`

	Reads uint64 `json:"reads"`
	// hits by reads or, of batches, by keys; 0 without reads
	HitRatio    float64 `json:"hit_ratio"`
	OriginLoads uint64  `json:"origin_loads"` // refreshes too; one of many keys is one
	// loads in progress at once, warm-up and hanging ones too
	OriginPeak int `json:"origin_peak"`
	// origin loads by reads that were no hits; 0 without
	LoadsPerMiss  float64 `json:"loads_per_miss"`
	InjectedLoads uint64  `json:"injected_faults"` // origin loads that went wrong on purpose

	Outcomes []Latencies             `json:"outcomes"` // those that came up; a batch is one operation
	Errors   map[verdict.Kind]uint64 `json:"errors"`   // of batches: of their keys
	Keys     *Keys                   `json:"keys,omitempty"`

	// Of an open loop: how long after they were due operations began, and how many were due but did
	// not begin before the end. Late is nil in a closed loop.
	Late   *Latencies `json:"started_late,omitempty"`
	Missed uint64     `json:"not_begun"`

	Evictions   uint64 `json:"evictions"`
	Expired     uint64 `json:"expired"`
	Refreshes   uint64 `json:"refreshes"`
	Stale       uint64 `json:"stale"` // keys for which a stale value was given
	Rejected    uint64 `json:"rejected"`
	Entries     int    `json:"entries"`      // at the end
	WaitingPeak int    `json:"waiting_peak"` // callers that waited for a load, as sampled
	// functions of ended flights that still ran at the end
	AbandonedLeft int `json:"abandoned_left"`
	// flights that had not ended at the end: dead ones, with the fix off
	FlightsLeft int `json:"flights_left"`

	Goroutines Level `json:"goroutines"`
	Heap       Level `json:"heap_bytes"` // start and end after a collection
	GC         GC    `json:"gc"`

	TimingCost measured.Value `json:"timing_cost_seconds"` // of one timed operation

	PlainLRU   *Comparison `json:"plain_lru,omitempty"`
	FaultShare float64     `json:"fault_share"` // of the requests, for keys that can fail

	Series []series.Series `json:"-"`
}

// Keys counts the keys that batches asked for, by outcome. A key that stands in a batch twice
// counts twice. A stale value counts as loaded or joined.
type Keys struct {
	Asked     uint64  `json:"asked"`
	PerSecond float64 `json:"per_second"`
	Hit       uint64  `json:"hit"`
	Loaded    uint64  `json:"loaded"` // by the fetch function of the batch itself
	Joined    uint64  `json:"joined"` // by another load, or it stands in the batch twice
	Failed    uint64  `json:"failed"`
}

// A Level is a quantity at the start, its peak as sampled, and at the end.
type Level struct {
	Start uint64 `json:"start"`
	Peak  uint64 `json:"peak"`
	End   uint64 `json:"end"`
}

// Latencies holds percentiles of the times that operations of one outcome took.
type Latencies struct {
	Outcome *Outcome       `json:"outcome,omitempty"` // nil: not of one outcome
	Count   uint64         `json:"count"`
	Timed   uint64         `json:"timed"` // fewer than Count where hits are sampled
	Mean    measured.Value `json:"mean_seconds"`
	P50     measured.Value `json:"p50_seconds"`
	P90     measured.Value `json:"p90_seconds"`
	P99     measured.Value `json:"p99_seconds"`
	P999    measured.Value `json:"p999_seconds"`
	Max     measured.Value `json:"max_seconds"`
}

func latencies(t *measured.Times) Latencies {
	n := uint64(t.Count()) //nolint:gosec // a count
	l := Latencies{Count: n, Timed: n, Mean: measured.None(), Max: measured.None(),
		P50: t.Quantile(50), P90: t.Quantile(90), P99: t.Quantile(99), P999: t.Quantile(99.9)}
	if n > 0 {
		l.Mean, l.Max = measured.Of(t.Mean()), measured.Of(t.Max())
	}
	return l
}

// Outcome returns the latencies of one outcome, zeros if it did not come up.
func (r *Result) Outcome(o Outcome) Latencies {
	for _, l := range r.Outcomes {
		if l.Outcome != nil && *l.Outcome == o {
			return l
		}
	}
	return Latencies{}
}
