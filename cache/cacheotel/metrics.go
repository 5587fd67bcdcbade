package cacheotel

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"github.com/snowfence/snowfence/cache/internal/metrics"
)

// Register makes the counters and gauges of c, with name as the attribute snowfence.cache.name.
// They are read when a reader of provider collects, several at a time if there are several readers.
// It returns the errors of the provider. Unregister of the result ends it: call it before c is
// dropped, since until then c stays in memory.
func Register(
	provider metric.MeterProvider, name string, c Source,
) (metric.Registration, error) {
	meter := provider.Meter(scope)
	instruments := make([]metric.Int64Observable, len(metrics.All))
	for i, m := range metrics.All {
		var err error
		about, unit := metric.WithDescription(m.Help), metric.WithUnit("{"+m.Unit+"}")
		if m.Count != nil {
			instruments[i], err = meter.Int64ObservableCounter(nameOf(m), about, unit)
		} else {
			instruments[i], err = meter.Int64ObservableUpDownCounter(nameOf(m), about, unit)
		}
		if err != nil {
			return nil, fmt.Errorf("cacheotel: %s: %w", nameOf(m), err)
		}
	}
	attrs := metric.WithAttributes(nameKey.String(name))
	observables := make([]metric.Observable, len(instruments))
	for i := range instruments {
		observables[i] = instruments[i]
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := metrics.Take(c)
		for i, m := range metrics.All {
			if m.Count != nil {
				o.ObserveInt64(instruments[i], int64(m.Count(s)), attrs) //nolint:gosec // less than 2^63
			} else {
				o.ObserveInt64(instruments[i], int64(m.State(s)), attrs)
			}
		}
		return nil
	}, observables...)
}

// nameOf returns the name of a metric. Counts that share the name of a present state, such as
// flights, have another one, since OpenTelemetry has no suffix for counts.
func nameOf(m metrics.Metric) string {
	if m.Count != nil {
		for _, other := range metrics.All {
			if other.State != nil && other.Name == m.Name {
				return prefix + m.Name + "_ever"
			}
		}
	}
	return prefix + m.Name
}
