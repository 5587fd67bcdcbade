package usage

import (
	"math"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPauses(t *testing.T) {
	h := &metrics.Float64Histogram{Counts: []uint64{5, 2, 1}, Buckets: []float64{0, 1, 2, math.Inf(1)}}
	for _, tt := range []struct {
		before  []uint64
		n       uint64
		longest float64
	}{
		{[]uint64{5, 2, 1}, 0, 0},
		{[]uint64{1, 2, 1}, 4, 1},
		{[]uint64{4, 1, 1}, 2, 2},
		{[]uint64{5, 2, 0}, 1, 2},
		{nil, 0, 0},
	} {
		n, longest := Pauses(h, tt.before)
		require.Equal(t, tt.n, n)
		require.InDelta(t, tt.longest, longest, 1e-12)
	}
}

func TestPauseQuantile(t *testing.T) {
	h := &metrics.Float64Histogram{Counts: []uint64{98, 1, 5, 1},
		Buckets: []float64{0, 1, 2, 3, math.Inf(1)}}
	before := []uint64{0, 0, 4, 0}
	for q, want := range map[float64]float64{0.01: 1, 0.97: 1, 0.98: 2, 0.99: 3, 1: 3} {
		require.InDelta(t, want, PauseQuantile(h, before, q), 1e-12, "%v", q)
	}
	require.Zero(t, PauseQuantile(h, h.Counts, 0.5), "no pause since then")
}

// The runtime has the metric, and counts pauses.
func TestPausesMetric(t *testing.T) {
	s := []metrics.Sample{{Name: PausesMetric}}
	metrics.Read(s)
	before := append([]uint64(nil), s[0].Value.Float64Histogram().Counts...)
	runtime.GC()
	metrics.Read(s)
	n, longest := Pauses(s[0].Value.Float64Histogram(), before)
	require.Positive(t, n)
	require.Positive(t, longest)
}

// Work adds processor time.
func TestCPU(t *testing.T) {
	before := CPU()
	sum := 0
	for deadline := time.Now().Add(10 * time.Second); CPU() == before && time.Now().Before(deadline); {
		for i := range 1_000_000 {
			sum += i
		}
		runtime.GC()
	}
	require.Greater(t, CPU(), before, "%d", sum)
}
