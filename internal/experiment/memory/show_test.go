package memory

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// left returns a cell with the given live heap at the end, in MiB.
func left(store string, limit int64, most, mib, gcShare float64) *Cell {
	return &Cell{Store: store, Setting: Setting{GOGC: 100, Limit: limit << 20},
		Begin: map[string]float64{},
		Samples: []Sample{{T: 0}, {T: 1, InUse: most * (1 << 20), Live: mib * (1 << 20), Busy: 1,
			GCSeconds: gcShare}}}
}

func passed(r *Result) (ok []bool) {
	for _, c := range r.Checks() {
		ok = append(ok, c.OK)
	}
	return ok
}

func TestChecks(t *testing.T) {
	require.Equal(t, []bool{true, true, true}, passed(&Result{Cells: []*Cell{
		left(Uncompacted, 0, 50, 7, 0.1), left(Snowfence, 0, 50, 2, 0.1), left(Snowfence, 60, 80, 2, 0.5),
		left(Shedding, 60, 62, 2, 0.2),
	}}))
	require.Equal(t, []bool{false, false, false}, passed(&Result{Cells: []*Cell{
		left(Uncompacted, 0, 50, 6.9, 0.1), left(Snowfence, 0, 50, 2, 0.1),
		left(Snowfence, 60, 80, 2, 0.5), left(Shedding, 60, 67, 2, 0.51),
	}}))
	require.Equal(t, []bool{true}, passed(&Result{Cells: []*Cell{
		left(Snowfence, 60, 59, 2, 0.1), left(Shedding, 60, 58, 2, 0.2),
	}}), "there was room for all")
	require.Empty(t, passed(&Result{Cells: []*Cell{left(Map, 0, 50, 7, 0.1)}}), "nothing to compare")
}

func TestFindingOfAnyStores(t *testing.T) {
	r := &Result{Cells: []*Cell{left(Map, 0, 50, 7, 0.1), left(Snowfence, 0, 50, 2, 0.1)}}
	r.Cells[0].Live, r.Cells[1].Live = 60<<20, 70<<20
	require.Equal(t, "map had 60.0 MiB in use when it was full, and 7.0 MiB at the end. "+
		"snowfence had 70.0 MiB in use when it was full, and 2.0 MiB at the end.", r.Finding())
}

func TestPhases(t *testing.T) {
	c := &Cell{Begin: map[string]float64{Fill: 0, Churn: 1, Shrink: 2, Rest: 3}}
	for i := range 9 {
		at := float64(i) / 2
		c.Samples = append(c.Samples,
			Sample{T: at, CPUSeconds: at * at, Busy: 4 * at, GCSeconds: at, Heap: 10 - at, InUse: 20 - at,
				Live: at, Pause: at / 1000})
	}
	require.InDelta(t, 3, c.CPU(Churn), 1e-9)
	require.InDelta(t, 7, c.CPU(Rest), 1e-9)
	require.InDelta(t, 10, c.PeakHeap(), 1e-9)
	require.InDelta(t, 20, c.PeakInUse(), 1e-9)
	require.InDelta(t, 4, c.Left(), 1e-9)
	require.InDelta(t, 0.25, c.GCShare(), 1e-9)
	require.InDelta(t, 0.004, c.Pause(), 1e-9)
}

// A missed sample is a gap, over which no line is drawn.
func TestMissedSamplesAreGaps(t *testing.T) {
	c := &Cell{Samples: []Sample{{T: 0.02, Heap: 1}, {T: 0.05, Heap: 2}, {T: 0.2, Heap: 3}}}
	points := c.series(func(s Sample) float64 { return s.Heap }).Points
	require.Len(t, points, 4)
	for i, p := range points {
		require.Equal(t, i == 2, p.Gap(), i)
	}
	require.InDelta(t, 0.07, points[2].T, 1e-9)
}
