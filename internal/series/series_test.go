package series_test

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/internal/series"
)

// pts returns points made from t, v, t, v and so on.
func pts(tv ...float64) (points []series.Point) {
	for i := 0; i+1 < len(tv); i += 2 {
		points = append(points, series.Point{T: tv[i], V: tv[i+1]})
	}
	return points
}

func TestRecorderKeepsOrder(t *testing.T) {
	r := series.NewRecorder("queue", "heap")
	r.Add("late", 2*time.Second, 7)
	r.Add("queue", 200*time.Millisecond, 2)
	r.Add("queue", 100*time.Millisecond, 1)
	all := r.All()
	require.Len(t, all, 3)
	assert.Equal(t, "queue", all[0].Name)
	assert.Equal(t, pts(0.1, 1, 0.2, 2), all[0].Points)
	assert.Empty(t, all[1].Points)
	assert.Equal(t, "late", all[2].Name)
	assert.Equal(t, all[0], r.Series("queue"))
	assert.Equal(t, series.Series{Name: "none"}, r.Series("none"))

	all[0].Points[0].V = 99
	assert.Equal(t, 1.0, r.Series("queue").Points[0].V, "the recorder must return a copy")
}

func TestRecorderConcurrent(t *testing.T) {
	r := series.NewRecorder()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				r.Add([]string{"a", "b"}[g%2], time.Duration(i)*time.Millisecond, float64(i))
				_ = r.All()
			}
		})
	}
	wg.Wait()
	assert.Len(t, r.Series("a").Points, 400)
	assert.Len(t, r.Series("b").Points, 400)
}

// Next returns the time by which to divide counts, skips samples that follow too soon, and leaves a
// gap where a sample was missed.
func TestRecorderNext(t *testing.T) {
	const interval = 50 * time.Millisecond
	r := series.NewRecorder("rate", "level")
	for _, c := range []struct {
		at, length time.Duration
		due        bool
	}{
		{49 * time.Millisecond, 49 * time.Millisecond, true},
		{49500 * time.Microsecond, 500 * time.Microsecond, false},
		{70 * time.Millisecond, 21 * time.Millisecond, false},
		{148 * time.Millisecond, 99 * time.Millisecond, true},
		{249 * time.Millisecond, 101 * time.Millisecond, true},
		{249 * time.Millisecond, 0, false},
	} {
		length, due := r.Next(c.at, interval)
		assert.Equal(t, c.length, length, c.at)
		assert.Equal(t, c.due, due, c.at)
		if due {
			r.Add("rate", c.at, 1)
			r.Add("level", c.at, 1)
		}
	}
	for _, s := range r.All() {
		require.Len(t, s.Points, 4)
		for i, p := range s.Points {
			assert.Equal(t, i == 2, p.Gap(), p.T)
		}
		assert.InDelta(t, 0.2, s.Points[2].T, 1e-9)
	}
}

func TestJSONHasNoNaN(t *testing.T) {
	b, err := json.Marshal(series.Series{Name: "x",
		Points: pts(0, 1.5, 1, math.NaN(), 2, math.Inf(-1), 3, 1e300, 4, 1e-9)})
	require.NoError(t, err)
	assert.JSONEq(t, `{"name":"x","points":[[0,1.5],[1,null],[2,null],[3,1e300],[4,1e-9]]}`, string(b))
}

func TestCSV(t *testing.T) {
	var b strings.Builder
	require.NoError(t, series.WriteCSV(&b,
		series.Series{Name: "a", Points: pts(0, 1, 0.5, math.NaN(), 1, 2.25)},
		series.Series{Name: "=cmd()\n,\"x\"", Points: pts(1, 1e6, 0.25, -3)},
	))
	rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, [][]string{
		{"t_seconds", "a", "'=cmd() ,\"x\""},
		{"0", "1", ""},
		{"0.25", "", "-3"},
		{"0.5", "", ""},
		{"1", "2.25", "1e+06"},
	}, rows)
}

func TestCSVRefusesTwins(t *testing.T) {
	var b strings.Builder
	err := series.WriteCSV(&b, series.Series{Name: "a"}, series.Series{Name: "a "})
	assert.ErrorContains(t, err, `two columns are called "a"`)
	assert.Empty(t, b.String())
	assert.ErrorContains(t, series.WriteCSV(&b, series.Series{Name: series.TimeColumn}),
		series.TimeColumn)
}

func TestCSVFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "run.csv")
	require.NoError(t, series.WriteCSVFile(path, series.Series{Name: "a", Points: pts(1, 2)}))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "t_seconds,a\n1,2\n", string(got))
}

func TestDownsampleKeepsSpikesAndGaps(t *testing.T) {
	points := make([]series.Point, 100_000)
	for i := range points {
		points[i] = series.Point{T: float64(i) / 1000, V: 1}
	}
	points[41_234].V = 900
	points[73_210].V = -5
	points[90_000].V = math.NaN()
	got := series.Downsample(points, 500)
	assert.LessOrEqual(t, len(got), 3*500+2)
	assert.Contains(t, got, points[41_234])
	assert.Contains(t, got, points[73_210])
	gaps := 0
	for _, p := range got {
		if p.Gap() {
			gaps++
			assert.Equal(t, 90.0, p.T)
		}
	}
	assert.Equal(t, 1, gaps)
	assert.Equal(t, points[0], got[0])
	assert.Equal(t, points[len(points)-1], got[len(got)-1])
}

func TestDownsampleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := series.Series{}
		value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), 0}))
		for range rapid.IntRange(0, 200).Draw(t, "len") {
			in.Points = append(in.Points,
				series.Point{T: rapid.Float64().Draw(t, "t"), V: value.Draw(t, "v")})
		}
		n := rapid.IntRange(0, 20).Draw(t, "n")
		points := in.Ordered()
		out := series.Downsample(points, n)
		wantLow, wantHigh, wantOK := series.Series{Points: points}.Range()
		low, high, ok := series.Series{Points: out}.Range()
		if low != wantLow || high != wantHigh || ok != wantOK {
			t.Fatalf("range %v..%v %v, want %v..%v %v", low, high, ok, wantLow, wantHigh, wantOK)
		}
		if n > 0 && len(out) > 3*n+2 {
			t.Fatalf("%d points for n = %d", len(out), n)
		}
		for i := 1; i < len(out); i++ {
			if out[i].T < out[i-1].T {
				t.Fatalf("out of order at %d", i)
			}
		}
	})
}
