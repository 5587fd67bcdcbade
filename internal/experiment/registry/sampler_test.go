package registry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
)

// A sample that comes right after another, as at the end of the load, is no spike, and one that is
// missed is no line.
func TestSamplesThatAreCloseOrMissed(t *testing.T) {
	const interval = 100 * time.Millisecond
	r := newRun(small(t, lab.Calm), lab.Env{}, 0, 4)
	s := newSampler(r)
	var o observed
	for _, at := range []time.Duration{
		interval, 2 * interval, 2*interval + 500*time.Microsecond, 3 * interval, 7 * interval,
	} {
		o.total.Pulls = uint64(1000 * at.Seconds())
		s.note(at, interval, o)
	}
	points := s.Series(seriesRepairs).Points
	require.Len(t, points, 5)
	for i, at := range []float64{0.1, 0.2, 0.3, 0.4, 0.7} {
		assert.InDelta(t, at, points[i].T, 1e-9)
		assert.Equal(t, i == 3, points[i].Gap(), "at %v", at)
		if i != 3 {
			assert.InDelta(t, 1000, points[i].V, 1e-6, "at %v", at)
		}
	}
}
