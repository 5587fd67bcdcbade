package clusterload

import (
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/registry"
)

// A Result is what the runs showed.
type Result struct {
	Seed uint64 `json:"seed"`

	// Partial is set if the runs were stopped. The last of Runs is incomplete then, or there are
	// fewer.
	Partial bool   `json:"partial"`
	Runs    []*Run `json:"runs"`
}

// A Run is what one run showed. Times are in seconds.
type Run struct {
	Partitions int      `json:"partitions"`
	Nodes      int      `json:"nodes"`
	Struck     []string `json:"struck"`  // the nodes that the disturbance was for
	Seconds    Value    `json:"seconds"` // how long the load took

	// Setup is the time from the first registration until all nodes showed the names that are there
	// from the start.
	Setup Value `json:"setup_seconds"`

	Registered uint64 `json:"registered"`
	Released   uint64 `json:"released"`
	Died       int    `json:"died"` // claims that ended with their node
	// registrations refused, as the node still saw another holder
	Taken      uint64 `json:"taken"`
	Overloaded uint64 `json:"overloaded"` // registrations refused for lack of room
	Shed       uint64 `json:"shed"`       // operations that were not begun, as too many were under way
	Failed     uint64 `json:"failed"`     // operations that failed for another reason
	Failure    string `json:"failure,omitempty"`
	Dropped    int    `json:"dropped"` // claims lost without a conflict, a release or a death

	// Visible is how long it took until a registration was visible on another node, by when it was
	// made.
	Visible struct {
		Before Spread `json:"before"`
		During Spread `json:"during"`
		After  Spread `json:"after"`
	} `json:"visible"`

	// Whole is the time from the end of the harm until all that had been changed by then was seen
	// everywhere.
	Whole Value `json:"whole_seconds"`
	// Settled is the time from the end of the load until all nodes agreed.
	Settled Value `json:"settled_seconds"`

	Conflicts Conflicts `json:"conflicts"`
	Audit     *Audit    `json:"audit"` // nil if the run was stopped

	BehindPeak int    `json:"behind_peak"` // views that were not what they must be, at one time
	QueuePeak  int    `json:"queue_peak"`  // the deepest queue of any partition and node
	QueueLimit int    `json:"queue_limit"` // at which registering has to wait
	QueuePeaks []int  `json:"queue_peak_by_partition"`
	HeapPeak   uint64 `json:"heap_peak_bytes"` // of the tables of one node
	// by the watchers that measure; their times are missing
	EventsMissed   uint64 `json:"events_missed"`
	Counts         Totals `json:"counts"`          // of all nodes
	SecondsCounted Value  `json:"seconds_counted"` // how long those were counted

	Series []series.Series `json:"-"`
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

// result puts together what was measured, in a run whose load lasted so long.
func (r *run) result(ran time.Duration) *Run {
	s, t := r.sampler, &r.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	x := &Run{
		Partitions: r.partitions, Nodes: len(r.cluster.members), Struck: []string{},
		Seconds: Value(ran.Seconds()), Setup: Value(r.setup.Seconds()),
		Registered: t.registered, Released: t.released, Taken: t.taken, Overloaded: t.overloaded,
		Shed: t.shed, Failed: t.failed,
		Whole: s.whole.took(), Settled: s.settled.took(),
		Conflicts:  r.ledger.conflicts(),
		BehindPeak: s.behindPeak, QueuePeak: s.queuePeak, QueueLimit: r.queueLimit(),
		QueuePeaks: s.queueByPart, HeapPeak: s.heapPeak,
		EventsMissed: s.views.missed, Counts: s.total(), SecondsCounted: Value(s.at.Seconds()),
		Series: s.All(),
	}
	for _, i := range r.struck {
		x.Struck = append(x.Struck, r.cluster.members[i].name)
	}
	x.Died, x.Dropped = r.ledger.count(died), r.ledger.count(dropped)
	if t.first != nil {
		x.Failure = fmt.Sprint(t.first)
	}
	l := &s.views.latency
	x.Visible.Before, x.Visible.During, x.Visible.After = l[phase.Before].Spread(),
		l[phase.During].Spread(), l[phase.After].Spread()
	return x
}

func (r *run) queueLimit() int {
	if q := r.scenario.Registry.Queue; q > 0 {
		return q
	}
	return registry.DefaultQueueSize
}

// count returns how many claims are in a state.
func (l *ledger) count(s claimState) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, c := range l.claims {
		if c.state == s {
			n++
		}
	}
	return n
}

// Value is a number that may not exist, see [measured.Value].
type Value = measured.Value

// Spread is how times were spread, see [measured.Spread].
type Spread = measured.Spread
