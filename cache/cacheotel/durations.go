package cacheotel

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/snowfence/snowfence/cache/internal/metrics"
	"github.com/snowfence/snowfence/courier"
)

// Durations is a producer, in the sense of the SDK (go.opentelemetry.io/otel/sdk/metric.Producer),
// of the durations of loads and waits of caches. The temporality is cumulative. Make one with
// NewDurations, give it to the reader with WithProducer, and add caches when they are made. Its
// methods are safe for concurrent use.
type Durations struct {
	mu      sync.Mutex // guards sources
	sources []*durationsOf
}

// A durationsOf is a cache of a Durations.
type durationsOf struct {
	name  string
	c     Source
	since time.Time
}

// NewDurations returns a Durations without a cache.
func NewDurations() *Durations { return &Durations{} }

// Add adds a cache, with name as the attribute snowfence.cache.name. That should be soon after the
// cache was made: the times of data points begin at the call. The result removes it again.
func (d *Durations) Add(name string, c Source) (remove func()) {
	added := &durationsOf{name, c, time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sources = append(d.sources, added)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.sources = slices.DeleteFunc(slices.Clone(d.sources), func(s *durationsOf) bool {
			return s == added
		})
	}
}

// Produce implements the SDK's Producer. The error is always nil.
func (d *Durations) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	d.mu.Lock()
	sources := d.sources
	d.mu.Unlock()
	if len(sources) == 0 {
		return nil, nil
	}
	now := time.Now()
	loads, waits := exponential{}, exponential{}
	loads.Temporality, waits.Temporality = metricdata.CumulativeTemporality,
		metricdata.CumulativeTemporality
	for _, s := range sources {
		taken := metrics.Snapshot{Timings: s.c.Inspect().Timings()}
		for _, end := range metrics.Ends {
			if h, ok := taken.LoadDurations(end); ok {
				loads.DataPoints = append(loads.DataPoints,
					s.point(h, now, outcomeKey.String(end.String())))
			}
		}
		waits.DataPoints = append(waits.DataPoints, s.point(&taken.Timings.Waits, now))
	}
	return []metricdata.ScopeMetrics{{
		Scope: instrumentation.Scope{Name: scope},
		Metrics: []metricdata.Metrics{
			{
				Name: prefix + metrics.LoadDuration, Description: metrics.LoadDurationHelp, Unit: "s",
				Data: loads,
			},
			{
				Name: prefix + metrics.WaitDuration, Description: metrics.WaitDurationHelp, Unit: "s",
				Data: waits,
			},
		},
	}}, nil
}

type exponential = metricdata.ExponentialHistogram[float64]

// scale is that of the courier's histograms.
const scale = 2

// point returns h in the form of OpenTelemetry. There the bucket with index i begins where it ends
// in a courier's histogram: at 2^(i/4) seconds.
func (s *durationsOf) point(
	h *courier.Histogram, now time.Time, more ...attribute.KeyValue,
) metricdata.ExponentialHistogramDataPoint[float64] {
	p := metricdata.ExponentialHistogramDataPoint[float64]{
		Attributes: attribute.NewSet(append(more, nameKey.String(s.name))...),
		StartTime:  s.since, Time: now, Count: h.Count, Sum: h.Sum.Seconds(), Scale: scale,
	}
	b := &p.PositiveBucket
	for i, n := range h.Buckets() {
		if b.Counts == nil {
			b.Offset = int32(i - 1) //nolint:gosec // small
		}
		for len(b.Counts) <= i-1-int(b.Offset) {
			b.Counts = append(b.Counts, 0)
		}
		b.Counts[i-1-int(b.Offset)] = n
	}
	return p
}
