package snowball

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/series"
)

func TestRecoveryRule(t *testing.T) {
	line := phase.Line{Before: time.Second, Start: 2 * time.Second, End: 4 * time.Second,
		Stop: 8 * time.Second}
	const interval = 50 * time.Millisecond
	// sampled has a sample at the end of each interval, worth f of its beginning.
	sampled := func(f func(seconds float64) float64) (s series.Series) {
		for at := time.Duration(0); at < line.Stop; at += interval {
			s.Points = append(s.Points, series.Point{T: (at + interval).Seconds(), V: f(at.Seconds())})
		}
		return s
	}
	always := func(v float64) func(float64) float64 { return func(float64) float64 { return v } }
	from := func(at, then float64) func(float64) float64 {
		return func(s float64) float64 {
			if s < at-1e-9 {
				return 0
			}
			return then
		}
	}
	full := func(until float64) func(float64) float64 {
		return func(s float64) float64 { return 100 - from(until, 100)(s) }
	}
	for _, tt := range []struct {
		name           string
		healthy, depth func(float64) float64
		want           float64 // NaN: not within the run
	}{
		{"never away", always(1000), always(0), 0},
		{"a little short", always(960), always(2), 0},
		{"too short", always(900), always(0), math.NaN()},
		{"back within the window", from(3, 1000), always(0), 0},
		{"back after it", from(5.5, 1000), always(0), 1.5},
		{"the queue takes longer", from(5.5, 1000), full(6), 2},
		{"the queue stays full", always(1000), always(100), math.NaN()},
		{"back too late to be sure", from(7.8, 1000), always(0), math.NaN()},
		{"a burst is no recovery", func(s float64) float64 {
			return from(4.5, 3000)(s) - from(4.6, 3000)(s) + from(7, 1000)(s)
		}, full(7), 3},
		{"samples were missed", func(s float64) float64 {
			if math.Mod(s+1e-9, 0.4) < interval.Seconds() {
				return math.NaN()
			}
			return 1000
		}, always(0), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := recovery(line, 100, sampled(tt.healthy), sampled(always(1000)), sampled(tt.depth))
			if math.IsNaN(tt.want) {
				assert.True(t, math.IsNaN(got), "got %v", got)
				return
			}
			// A span may begin in an interval that is not quite healthy.
			assert.InDelta(t, tt.want, got, 1.1*interval.Seconds())
		})
	}
}
