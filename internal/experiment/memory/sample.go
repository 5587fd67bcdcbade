package memory

import (
	"runtime/metrics"
	"slices"

	"github.com/snowfence/snowfence/internal/usage"
)

// A Sample holds metrics of the runtime at one time.
type Sample struct {
	T       float64 `json:"t"`       // seconds since the start of the cell
	Heap    float64 `json:"heap"`    // bytes of objects, including garbage
	Live    float64 `json:"live"`    // bytes that the last collection found reachable
	InUse   float64 `json:"in_use"`  // bytes that count towards the limit
	Objects float64 `json:"objects"` // number of objects, including garbage
	Entries int     `json:"entries"`

	GCSeconds  float64 `json:"gc_s"`    // CPU time of collections so far, as the runtime estimates it
	Busy       float64 `json:"busy_s"`  // CPU time of everything so far, as the runtime estimates it
	CPUSeconds float64 `json:"cpu_s"`   // CPU time of the process so far, as the system measures it
	Pause      float64 `json:"pause_s"` // longest pause since the previous sample
	Cycles     uint64  `json:"cycles"`
}

// A sampler reads samples. It is not safe for concurrent use.
type sampler struct {
	s      []metrics.Sample
	pauses []uint64 // counts at the previous sample
	first  []uint64 // counts at the first sample
}

func newSampler() *sampler {
	p := &sampler{}
	for _, name := range []string{
		"/memory/classes/heap/objects:bytes", "/gc/heap/live:bytes", "/memory/classes/total:bytes",
		"/memory/classes/heap/released:bytes", "/cpu/classes/gc/total:cpu-seconds",
		"/gc/cycles/total:gc-cycles",
		usage.PausesMetric, "/cpu/classes/total:cpu-seconds", "/cpu/classes/idle:cpu-seconds",
		"/gc/heap/objects:objects",
	} {
		p.s = append(p.s, metrics.Sample{Name: name})
	}
	return p
}

func (p *sampler) read() Sample {
	metrics.Read(p.s)
	number := func(i int) float64 { return float64(p.s[i].Value.Uint64()) }
	h := p.s[6].Value.Float64Histogram()
	_, pause := usage.Pauses(h, p.pauses)
	p.pauses = append(p.pauses[:0], h.Counts...)
	if p.first == nil {
		p.first = slices.Clone(h.Counts)
	}
	return Sample{
		Heap: number(0), Live: number(1), InUse: number(2) - number(3), Objects: number(9),
		GCSeconds: p.s[4].Value.Float64(),
		Busy:      p.s[7].Value.Float64() - p.s[8].Value.Float64(), CPUSeconds: usage.CPU().Seconds(),
		Cycles: p.s[5].Value.Uint64(), Pause: pause,
	}
}

// pauseQuantile returns a quantile of the pauses between the first and the last sample, in seconds.
func (p *sampler) pauseQuantile(q float64) float64 {
	return usage.PauseQuantile(p.s[6].Value.Float64Histogram(), p.first, q)
}
