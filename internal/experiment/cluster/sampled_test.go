package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
)

// What was counted while no sample was taken is no spike at the next one, and no line is drawn
// over that time.
func TestMissedSamplesAreSpread(t *testing.T) {
	line := newTimeline(&Params{Disturb: lab.Calm}, 2*time.Second)
	line.sampled([]countSample{
		{-100 * time.Millisecond, 0}, {100 * time.Millisecond, 10}, {300 * time.Millisecond, 20},
		{1500 * time.Millisecond, 90}, {1550 * time.Millisecond, 91},
	})
	var total uint64
	for i, m := range line.intervals {
		total += m.local
		assert.LessOrEqual(t, m.local, uint64(20), "interval %d", i)
		assert.Equal(t, i >= 2 && i <= 6, m.unseen, "interval %d", i)
	}
	assert.Equal(t, uint64(91), total)
	for _, s := range line.series() {
		for i, p := range s.Points {
			require.Equal(t, s.Name == seriesLocal && i >= 2 && i <= 6, s.Name == seriesLocal && p.Gap(),
				"%s, interval %d", s.Name, i)
		}
	}
}
