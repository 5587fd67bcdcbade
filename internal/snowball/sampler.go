package snowball

import (
	"context"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
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

// maxSamples bounds what the series of a long run take.
const maxSamples = 20_000

// A sampler looks at a service at regular times.
type sampler struct {
	service  *service
	interval time.Duration
	record   *series.Recorder
	spare    *measured.Times
	heap     []metrics.Sample

	blockedPeak, goroutinesPeak, abandonedPeak int
	heapPeak                                   float64
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
		service:  v,
		interval: max(50*time.Millisecond, v.scenario.Duration/maxSamples),
		record:   series.NewRecorder(names...),
		spare:    measured.Fine(),
		heap:     []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}},
	}
}

// run samples until the scenario's duration is over, or ctx has ended.
func (m *sampler) run(ctx context.Context) {
	ticker := time.NewTicker(m.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := m.service.Now()
			m.sample(now)
			if now >= m.service.line.Stop {
				return
			}
		}
	}
}

func (m *sampler) sample(t time.Duration) {
	v := m.service
	since, due := m.record.Next(t, m.interval)
	if !due {
		return
	}
	length := since.Seconds()
	// Both runs are sampled at multiples of the interval, give or take what the
	// machine does meanwhile; the rows of the CSV file should be the same.
	at := t.Round(m.interval)

	n := v.meter.swap(m.spare)
	m.spare = n.latency
	stats := v.cache.Stats().Courier
	metrics.Read(m.heap)
	goroutines, heap := runtime.NumGoroutine(), float64(m.heap[0].Value.Uint64())
	m.blockedPeak = max(m.blockedPeak, stats.Waiting)
	m.abandonedPeak = max(m.abandonedPeak, stats.Abandoned)
	m.goroutinesPeak = max(m.goroutinesPeak, goroutines)
	m.heapPeak = max(m.heapPeak, heap)

	m.record.Add(seriesHealthy, at, float64(n.healthy)/length)
	m.record.Add(seriesOffered, at, float64(n.healthyOffered)/length)
	m.record.Add(seriesLatency, at, float64(n.latency.Quantile(99)))
	m.record.Add(seriesQueue, at, float64(len(v.queue)))
	m.record.Add(seriesBlocked, at, float64(stats.Waiting))
	m.record.Add(seriesHeld, at, float64(v.meter.held.Load()))
	m.record.Add(seriesGoroutines, at, float64(goroutines))
	m.record.Add(seriesHeap, at, heap)
	m.record.Add(seriesTimeouts, at, float64(n.timedOut)/length)
	m.record.Add(seriesDrops, at, float64(n.dropped)/length)
	m.record.Add(seriesAbandoned, at, float64(stats.Abandoned))
	m.record.Add(seriesAnswered, at, float64(n.answered)/length)
	if v.fix == Stale {
		m.record.Add(seriesStale, at, float64(n.stale)/length)
	}
	if v.progress != nil {
		v.progress(Progress{
			Fix: v.fix, Elapsed: min(t, v.line.Stop), Duration: v.line.Stop,
			Part:    (float64(v.number) + min(1, t.Seconds()/v.line.Stop.Seconds())) / float64(v.of),
			Healthy: float64(n.healthy) / length, Blocked: stats.Waiting, Queue: len(v.queue),
		})
	}
}
