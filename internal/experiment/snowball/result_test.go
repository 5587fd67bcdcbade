package snowball

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

func TestValueJSON(t *testing.T) {
	text, err := json.Marshal(map[string]any{"none": measured.None(), "some": Value(1.5),
		"spread": new(measured.Times).Spread()})
	require.NoError(t, err)
	require.JSONEq(t, `{"none": null, "some": 1.5, "spread": {"count": 0, "p50_seconds": null, "p99_seconds": null, "max_seconds": null}}`, string(text))
}

func TestSpread(t *testing.T) {
	h := measured.Fine()
	for range 98 {
		h.Add(time.Millisecond)
	}
	h.Add(time.Second)
	h.Add(-time.Second) // a clock that was set back is no reason to fail
	h.Add(20 * time.Second)
	s := h.Spread()
	assert.Equal(t, int64(101), s.Count)
	assert.InEpsilon(t, 0.001, float64(s.P50), 0.01)
	assert.InEpsilon(t, 1, float64(s.P99), 0.01)
	assert.InEpsilon(t, 20, float64(s.Max), 0.01)
	assert.LessOrEqual(t, s.P99, s.Max)
}

// One run in full, as it is shown.
func TestPresentation(t *testing.T) {
	p := builtin(t, "panic")
	synctest.Test(t, func(t *testing.T) {
		r, err := Execute(t.Context(), p, quiet)
		require.NoError(t, err)

		var text strings.Builder
		require.NoError(t, r.table(p).WriteText(&text, table.Style{}))
		assert.Contains(t, text.String(),
			"2,000 events/s for 8 s, twice. From 2 s to 5 s the fetch of 5 keys (4.8 % of the events) "+
				"panics.")
		for _, m := range measures {
			assert.Equal(t, !m.Optional, strings.Contains(text.String(), m.Name), m.Name)
			assert.NotEmpty(t, m.Meaning)
		}
		assert.Contains(t, text.String(), "not within the run")
		assert.Contains(t, text.String(), "5 of 5")
		assert.Contains(t, text.String(), "Callers of failing keys got, fix off: value ")

		assert.Regexp(t, `^Fix off: healthy throughput fell to \d+/s during the fault, which is \d+\.\d % of the 1,\d+/s offered, and did not recover within the run; `+
			`[\d,]+ events were dropped\. Fix on: healthy throughput held at 1,\d+/s during the fault, which is (99\.\d|100\.\d) % of the 1,\d+/s offered; `+
			`no event was dropped\. A caller .* instead of 2\.0 s: .*\.$`, r.finding())
		assert.Contains(t, story(p),
			"A service of 32 workers takes 2,000 events per second from a queue of 512.")

		var csv bytes.Buffer
		require.NoError(t, series.WriteCSV(&csv, r.series()...))
		lines := strings.Split(strings.TrimSpace(csv.String()), "\n")
		require.Len(t, lines, 161, "both runs must be sampled at the same times")
		for _, line := range lines {
			assert.Len(t, strings.Split(line, ","), 1+2*12)
		}
		charts := r.charts(p)
		for _, c := range charts {
			require.Len(t, c.Lines, 2, c.Title)
			assert.NotEmpty(t, c.Lines[0].Points, c.Title)
			assert.Equal(t, "fault: fetch of 5 keys panics", c.Windows[0].Label)
		}
		assert.Equal(t, "Answered requests", charts[0].Title)
		assert.Equal(t, "Healthy throughput", charts[1].Title)
		for _, c := range charts {
			assert.NotEqual(t, "Abandoned functions", c.Title,
				"a chart in which nothing happens says nothing")
		}
	})
}

// Two samples that a busy machine takes right after each other make no spike.
func TestSamplesThatAreClose(t *testing.T) {
	v, err := newService(builtin(t, "none"), On)
	require.NoError(t, err)
	defer func() { require.NoError(t, v.cache.Close()) }()
	m := newSampler(v)
	for _, at := range []time.Duration{99500 * time.Microsecond, 100 * time.Millisecond,
		150 * time.Millisecond} {
		v.meter.offer(event{intended: at, key: 999}, true, 1)
		m.sample(at)
	}
	var rates []float64
	for _, p := range m.Series(seriesOffered).Points {
		rates = append(rates, p.V)
	}
	require.Len(t, rates, 2)
	assert.InDelta(t, 1/0.0995, rates[0], 0.1)
	assert.InDelta(t, 2/0.0505, rates[1], 0.1)
}

func TestBacklogIsNoBaseline(t *testing.T) {
	p := builtin(t, "none")
	v, err := newService(p, On)
	require.NoError(t, err)
	defer func() { require.NoError(t, v.cache.Close()) }()
	// Two events of the warm-up are served late, beside the one that is due.
	for _, intended := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond,
		1100 * time.Millisecond} {
		e := event{intended: intended, key: 999}
		v.meter.offer(e, true, 1)
		v.meter.finish(e, 1200*time.Millisecond, 1200*time.Millisecond, answer{})
	}
	r := v.result(p.Duration, newSampler(v), 0, 0)
	assert.Equal(t, Value(1), r.HealthyBefore)
	assert.Zero(t, r.LatencyInside.Count, "nothing was offered within the window")
}

// The picture's points are means, which no sample that came late makes a spike.
func TestMeansOfThePicture(t *testing.T) {
	nan := math.NaN()
	points := func(values ...float64) (all []series.Point) {
		for i, v := range values {
			all = append(all, series.Point{T: float64(i+1) / 10, V: v})
		}
		return all
	}
	for _, tt := range []struct {
		name  string
		rates []series.Point
		want  []series.Point
	}{
		{"none", nil, nil},
		{"whole stretches", points(100, 300, 500, 700),
			[]series.Point{{T: 0.2, V: 200}, {T: 0.4, V: 600}}},
		{"a rest", points(100, 300, 500), []series.Point{{T: 0.2, V: 200}, {T: 0.3, V: 500}}},
		{"a sample that came late", []series.Point{{T: 0.15, V: 100}, {T: 0.2, V: 500}},
			[]series.Point{{T: 0.2, V: 200}}},
		{"a long one", []series.Point{{T: 1, V: 100}, {T: 1.1, V: 300}},
			[]series.Point{{T: 1, V: 100}, {T: 1.1, V: 300}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := means(tt.rates, 0.2)
			require.Len(t, got, len(tt.want))
			for i, p := range got {
				assert.InDelta(t, tt.want[i].T, p.T, 1e-9)
				assert.InDelta(t, tt.want[i].V, p.V, 1e-6)
			}
		})
	}
	got := means(points(100, nan, 300, 500), 0.2)
	require.Len(t, got, 3)
	assert.Equal(t, series.Point{T: 0.1, V: 100}, got[0])
	assert.True(t, got[1].Gap())
	assert.InDelta(t, 400, got[2].V, 1e-6)
}
