package run

import (
	"runtime/metrics"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/usage"
)

const metricGCs = "/gc/cycles/total:gc-cycles"

// A process reads what the collector does. Reading runtime/metrics does not stop the program.
type process struct {
	gc     []metrics.Sample // collections and pauses
	cycles uint64           // at the start
	pauses []uint64         // at the start, by bucket
}

func newProcess() *process {
	return &process{
		gc: []metrics.Sample{{Name: metricGCs}, {Name: usage.PausesMetric}},
	}
}

func number(s metrics.Sample) uint64 {
	if s.Value.Kind() != metrics.KindUint64 { // a future Go may drop a metric
		return 0
	}
	return s.Value.Uint64()
}

// start notes where the counters of the collector stand.
func (p *process) start() {
	metrics.Read(p.gc)
	p.cycles = number(p.gc[0])
	if h := p.histogram(); h != nil {
		p.pauses = append([]uint64(nil), h.Counts...)
	}
}

// GC counts the work of the garbage collector in the measured part of a run.
type GC struct {
	Cycles uint64 `json:"cycles"`
	Pauses uint64 `json:"pauses"`
	// Longest is the upper bound of the slot that the longest pause fell into.
	Longest measured.Value `json:"longest_pause_seconds"`
}

// collected returns the work of the collector since start.
func (p *process) collected() GC {
	metrics.Read(p.gc)
	gc := GC{Cycles: number(p.gc[0]) - p.cycles}
	if h := p.histogram(); h != nil {
		n, longest := usage.Pauses(h, p.pauses)
		gc.Pauses, gc.Longest = n, measured.Value(longest)
	}
	return gc
}

func (p *process) histogram() *metrics.Float64Histogram {
	if p.gc[1].Value.Kind() != metrics.KindFloat64Histogram {
		return nil
	}
	return p.gc[1].Value.Float64Histogram()
}
