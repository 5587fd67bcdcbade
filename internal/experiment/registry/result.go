package registry

import (
	"cmp"
	"time"

	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/registry"
)

// A Result holds what the runs showed.
type Result struct {
	Runs []*Run `json:"runs"` // the last one is incomplete, or some are missing, if it was stopped

	partial bool
}

// A Run holds what one run showed. Times are in seconds.
type Run struct {
	Partitions int            `json:"partitions"`
	Victims    []string       `json:"victims"`
	Seconds    measured.Value `json:"seconds"` // how long the load took

	// Setup is the time from the first registration until all nodes showed the names that are there
	// from the start.
	Setup measured.Value `json:"setup_seconds"`

	Operations
	Died    int `json:"died"`    // claims that ended with their node
	Dropped int `json:"dropped"` // claims lost without a conflict, a release or a death

	// Visible holds how long it took until a registration was visible on another node, by the phase
	// in which it was made.
	Visible struct {
		Before measured.Spread `json:"before"`
		During measured.Spread `json:"during"`
		After  measured.Spread `json:"after"`
	} `json:"visible"`

	// Whole is the time from the end of the disturbance until all that had been changed by then was
	// seen everywhere.
	Whole measured.Value `json:"whole_seconds"`
	// Settled is the time from the end of the load until all nodes agreed.
	Settled measured.Value `json:"settled_seconds"`

	Conflicts Conflicts `json:"conflicts"`
	Audit     *Audit    `json:"audit"` // nil if the run was stopped

	Peaks
	QueueLimit int `json:"queue_limit"` // at which registering has to wait
	// EventsMissed counts what the watchers that measure did not see. Its times are missing.
	EventsMissed   uint64         `json:"events_missed"`
	Counts         Totals         `json:"counts"`          // of all nodes
	SecondsCounted measured.Value `json:"seconds_counted"` // how long those were counted

	Series []series.Series `json:"-"`
}

// Operations counts operations by their end.
type Operations struct {
	Registered uint64 `json:"registered"`
	Released   uint64 `json:"released"`
	Taken      uint64 `json:"taken"`             // refused: the node still saw another holder
	Overloaded uint64 `json:"overloaded"`        // refused for lack of room
	Shed       uint64 `json:"shed"`              // not begun, as too many were under way
	Failed     uint64 `json:"failed"`            // for another reason
	Failure    string `json:"failure,omitempty"` // the first
}

// Peaks holds the largest values that were seen at one time.
type Peaks struct {
	BehindPeak int    `json:"behind_peak"` // views that were not what they must be
	QueuePeak  int    `json:"queue_peak"`  // the deepest queue of any partition and node
	QueuePeaks []int  `json:"queue_peak_by_partition"`
	HeapPeak   uint64 `json:"heap_peak_bytes"` // of the tables of one node
}

// The names of the series.
const (
	seriesExpected  = "names_expected"
	seriesLeast     = "names_least"
	seriesMost      = "names_most"
	seriesNamesOf   = "names_"
	seriesBehind    = "views_behind"
	seriesVisible50 = "visible_p50_seconds"
	seriesVisible99 = "visible_p99_seconds"
	seriesQueue     = "queue_depth"
	seriesMessages  = "messages_per_second"
	seriesBytes     = "wire_bytes_per_second"
	seriesConflicts = "conflicts_lost_per_second"
	seriesRepairs   = "pulls_per_second"
)

// result returns what was measured in a run whose load lasted that long.
func (r *run) result(ran time.Duration) *Run {
	s := r.sampler
	x := &Run{
		Partitions: r.partitions, Victims: []string{},
		Seconds: measured.Value(ran.Seconds()), Setup: measured.Value(r.setup.Seconds()),
		Operations: r.tally.Operations,
		Died:       r.ledger.count(died), Dropped: r.ledger.count(dropped),
		Whole: s.whole.took(), Settled: s.settled.took(),
		Conflicts: r.ledger.conflicts(),
		Peaks:     s.peaks, QueueLimit: cmp.Or(r.p.Queue, registry.DefaultQueueSize),
		EventsMissed: r.ledger.missed, Counts: s.total(), SecondsCounted: measured.Value(s.At.Seconds()),
		Series: s.All(),
	}
	for _, i := range r.victims {
		x.Victims = append(x.Victims, nodeName(i))
	}
	l := &r.ledger.latency
	x.Visible.Before, x.Visible.During, x.Visible.After = l[phase.Before].Spread(),
		l[phase.During].Spread(), l[phase.After].Spread()
	return x
}
