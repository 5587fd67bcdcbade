package cacheotel_test

import (
	"context"
	"errors"
	"math"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cacheotel"
)

// collect returns the metrics by name.
func collect(t *testing.T, reader metric.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	found := make(map[string]metricdata.Metrics)
	for _, s := range all.ScopeMetrics {
		require.Equal(t, "github.com/snowfence/snowfence/cache/cacheotel", s.Scope.Name)
		for _, m := range s.Metrics {
			require.NotContains(t, found, m.Name)
			require.NotEmpty(t, m.Description)
			require.NotEmpty(t, m.Unit)
			found[m.Name] = m
		}
	}
	return found
}

// sumOf returns the value of a metric for each cache.
func sumOf(t *testing.T, m metricdata.Metrics) map[string]int64 {
	t.Helper()
	sum, ok := m.Data.(metricdata.Sum[int64])
	require.True(t, ok, "%T", m.Data)
	all := make(map[string]int64)
	for _, p := range sum.DataPoints {
		name, ok := p.Attributes.Value("snowfence.cache.name")
		require.True(t, ok)
		all[name.AsString()] = p.Value
	}
	return all
}

func TestRegister(t *testing.T) {
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	caches := make(map[string]*cache.Cache[string, int])
	for _, name := range []string{"users", "orders"} {
		c, err := cache.New(cache.Options[string, int]{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		caches[name] = c
		registration, err := cacheotel.Register(provider, name, c)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, registration.Unregister()) })
	}
	caches["users"].Set("a", 1)
	for _, key := range []string{"a", "a", "b"} {
		caches["users"].Get(key)
	}
	_, err := caches["orders"].Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
		return 0, errors.New("down")
	})
	require.Error(t, err)

	all := collect(t, reader)
	require.Greater(t, len(all), 25)
	for name, want := range map[string]map[string]int64{
		"hits":         {"users": 2, "orders": 0},
		"misses":       {"users": 1, "orders": 1},
		"load_errors":  {"users": 0, "orders": 1},
		"entries":      {"users": 1, "orders": 0},
		"flights":      {"users": 0, "orders": 0},
		"flights_ever": {"users": 0, "orders": 1},
	} {
		require.Equal(t, want, sumOf(t, all["snowfence.cache."+name]), name)
	}
	for name, monotonic := range map[string]bool{"hits": true, "entries": false, "flights": false} {
		sum, ok := all["snowfence.cache."+name].Data.(metricdata.Sum[int64])
		require.True(t, ok)
		require.Equal(t, monotonic, sum.IsMonotonic, name)
	}
}

// After Unregister the cache is no longer read.
func TestUnregister(t *testing.T) {
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	c, err := cache.New(cache.Options[string, int]{})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	registration, err := cacheotel.Register(provider, "users", c)
	require.NoError(t, err)
	require.NotEmpty(t, collect(t, reader))
	require.NoError(t, registration.Unregister())
	require.Empty(t, collect(t, reader))
}

// The durations of loads and waits come out as exponential histograms, whose buckets are where the
// durations are.
func TestDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		durations := cacheotel.NewDurations()
		reader := metric.NewManualReader(metric.WithProducer(durations))
		_ = metric.NewMeterProvider(metric.WithReader(reader))
		require.Empty(t, collect(t, reader))

		c, err := cache.New(cache.Options[string, int]{})
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		began := time.Now()
		remove := durations.Add("users", c)
		took := map[string][]float64{"value": {0.003, 1.5, 20}, "error": {0.3}}
		for outcome, all := range took {
			for _, d := range all {
				_, _ = c.Fetch(t.Context(), "k", func(context.Context, string) (int, error) {
					time.Sleep(time.Duration(d * float64(time.Second)))
					if outcome == "error" {
						return 0, errors.New("down")
					}
					return 1, nil
				})
				c.Delete("k")
			}
		}
		all := collect(t, reader)
		loads, ok := all["snowfence.cache.load_duration"].Data.(metricdata.ExponentialHistogram[float64])
		require.True(t, ok)
		require.Equal(t, "s", all["snowfence.cache.load_duration"].Unit)
		require.Equal(t, metricdata.CumulativeTemporality, loads.Temporality)
		require.Len(t, loads.DataPoints, 2)
		for _, p := range loads.DataPoints {
			outcome, ok := p.Attributes.Value("snowfence.cache.load.outcome")
			require.True(t, ok)
			want := took[outcome.AsString()]
			inBuckets(t, want, p)
			require.Equal(t, began, p.StartTime)
			require.Equal(t, time.Now(), p.Time)
		}
		waits, ok := all["snowfence.cache.wait_duration"].Data.(metricdata.ExponentialHistogram[float64])
		require.True(t, ok)
		require.Len(t, waits.DataPoints, 1)
		inBuckets(t, []float64{0.003, 0.3, 1.5, 20}, waits.DataPoints[0])

		remove()
		require.Empty(t, collect(t, reader))
	})
}

// inBuckets fails the test unless p has these durations, which are in order and each in a bucket of
// its own.
func inBuckets(
	t *testing.T, want []float64, p metricdata.ExponentialHistogramDataPoint[float64],
) {
	t.Helper()
	sum, at := 0.0, 0
	for _, d := range want {
		sum += d
	}
	require.EqualValues(t, len(want), p.Count)
	require.InDelta(t, sum, p.Sum, 1e-6)
	base := math.Exp2(math.Exp2(-float64(p.Scale)))
	for i, n := range p.PositiveBucket.Counts {
		if n == 0 {
			continue
		}
		require.EqualValues(t, 1, n)
		lower := math.Pow(base, float64(int(p.PositiveBucket.Offset)+i))
		require.Greater(t, want[at], lower)
		require.LessOrEqual(t, want[at], lower*base)
		at++
	}
	require.Equal(t, len(want), at)
	require.NotZero(t, p.PositiveBucket.Counts[0])
}

// A program with cacheotel links neither the tracing nor the metrics of the SDK, nor a cluster.
func TestDependencies(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool here")
	}
	//nolint:gosec // the go tool
	out, err := exec.CommandContext(t.Context(), tool, "list", "-deps",
		"github.com/snowfence/snowfence/cache/cacheotel").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "go.opentelemetry.io/otel/sdk/metric/metricdata\n")
	for _, path := range []string{"otel/sdk/metric\n", "otel/sdk/trace\n", "prometheus", "memberlist"} {
		require.NotContains(t, string(out), path)
	}
}
