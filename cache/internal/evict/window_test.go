package evict

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// The window moves on in a direction that raises the hit ratio, turns otherwise, and stays within
// its bounds.
func TestWindowClimbs(t *testing.T) {
	for _, best := range []float64{windowLeast, 0.3, windowMost} {
		s := &stub{entries: 100}
		w := s.window()
		require.InDelta(t, windowFirst, w.get(), 0.001)
		var sum float64
		const rounds, last = 300, 100
		for round := range rounds {
			// The nearer the window is to best, the more hits there are.
			off := w.get() - best
			s.hits += uint64(8000 * (1 - off*off)) //nolint:gosec // positive
			s.misses += 8000 - uint64(8000*(1-off*off))
			for range 64 {
				w.Observe()
			}
			require.GreaterOrEqual(t, w.get(), windowLeast-0.001)
			require.LessOrEqual(t, w.get(), windowMost)
			if round >= rounds-last {
				sum += w.get()
			}
		}
		require.InDelta(t, best, sum/last, 0.08)
	}
}

// The window does not change before there were enough hits and misses.
func TestWindowWaits(t *testing.T) {
	s := &stub{entries: 1000}
	w := s.window()
	for range 6400 {
		s.misses++
		w.Observe()
	}
	require.InDelta(t, windowFirst, w.get(), 0.001)
	require.Zero(t, w.lastTotal)
}

// Steps become smaller while the hit ratio changes little, and are reset when it changes much.
func TestWindowStartsAnew(t *testing.T) {
	s := &stub{entries: 100}
	w := s.window()
	round := func(ratio float64) {
		s.hits += uint64(8000 * ratio)
		s.misses += uint64(8000 * (1 - ratio))
		w.Observe()
	}
	for range 100 {
		round(0.5)
	}
	require.Less(t, math.Abs(w.step), stepFirst/4)
	round(0.9)
	require.InDelta(t, stepFirst, math.Abs(w.step), 1e-9)
}
