package snowball

import (
	"context"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab/sample"
	"github.com/snowfence/snowfence/internal/measured"
)

// The names of the series of a run, which are columns of series.csv too.
const (
	seriesHealthy    = "healthy_per_second"
	seriesOffered    = "healthy_offered_per_second"
	seriesAnswered   = "answered_per_second"
	seriesStale      = "stale_per_second" // of a run with stale values alone
	seriesLatency    = "healthy_latency_p99_seconds"
	seriesQueue      = "queue_depth"
	seriesBlocked    = "blocked_callers"
	seriesHeld       = "workers_on_failing_keys"
	seriesGoroutines = "goroutines"
	seriesHeap       = "heap_bytes"
	seriesTimeouts   = "timeouts_per_second"
	seriesDrops      = "drops_per_second"
	seriesAbandoned  = "abandoned_functions"
)

// maxSamples bounds the memory that the series of a long run take.
const maxSamples = 20_000

// A sampler samples a service at regular times.
type sampler struct {
	*sample.Sampler

	service  *service
	interval time.Duration
	spare    *measured.Times
}

func newSampler(v *service) *sampler {
	names := []string{
		seriesHealthy, seriesOffered, seriesLatency, seriesQueue, seriesBlocked, seriesHeld,
		seriesGoroutines, seriesHeap, seriesTimeouts, seriesDrops, seriesAbandoned, seriesAnswered,
	}
	if v.fix == Stale {
		names = append(names, seriesStale)
	}
	return &sampler{
		Sampler:  sample.New(names...),
		service:  v,
		interval: max(50*time.Millisecond, v.params.Duration/maxSamples),
		spare:    measured.Fine(),
	}
}

// run samples until the run is over or ctx ends.
func (m *sampler) run(ctx context.Context) {
	v := m.service
	for range v.Every(ctx, m.interval, m.interval, v.line.Stop+m.interval-1) {
		m.sample(v.Now())
	}
}

func (m *sampler) sample(t time.Duration) {
	if !m.Next(t, m.interval) {
		return
	}
	// All runs are sampled at multiples of the interval, give or take what the machine does
	// meanwhile; the rows of the CSV file should be the same.
	m.At = t.Round(m.interval)

	v := m.service
	n := v.meter.swap(m.spare)
	m.spare = n.latency
	waiting, abandoned := v.subject.waiting()
	goroutines, heap := sample.Program()

	healthy := m.Rate(seriesHealthy, n.healthy)
	m.Rate(seriesOffered, n.healthyOffered)
	m.Gauge(seriesLatency, float64(n.latency.Quantile(99)))
	m.Gauge(seriesQueue, float64(len(v.queue)))
	m.Gauge(seriesBlocked, float64(waiting))
	m.Gauge(seriesHeld, float64(v.meter.held.Load()))
	m.Gauge(seriesGoroutines, float64(goroutines))
	m.Gauge(seriesHeap, float64(heap))
	m.Rate(seriesTimeouts, n.timedOut)
	m.Rate(seriesDrops, n.dropped)
	m.Gauge(seriesAbandoned, float64(abandoned))
	m.Rate(seriesAnswered, n.answered)
	if v.fix == Stale {
		m.Rate(seriesStale, n.stale)
	}
	if v.observe != nil {
		v.observe(m.All())
	}
	v.progress(min(1, t.Seconds()/v.line.Stop.Seconds()), fmt.Sprintf(
		"fix %-5s  healthy %s, %s callers blocked, queue %s", v.fix, human.Rate(healthy),
		human.Count(waiting), human.Count(len(v.queue))))
}
