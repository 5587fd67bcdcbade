package cluster

import (
	"flag"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
)

var sampleDir = flag.String("sample", "",
	"write the sample report and its SVG into this folder, to look at")

func TestWriteSample(t *testing.T) {
	dir := *sampleDir
	if dir == "" {
		dir = t.TempDir()
	}
	c, r := sampleRuns()
	page := r.Report(c)
	page.Command, page.Environment, page.Checks = "cachebench cluster", report.CurrentEnvironment(),
		r.Checks(c)
	require.NoError(t, page.WriteHTMLFile(filepath.Join(dir, "report.html")))
	require.NoError(t, page.Charts[0].WriteSVGFile(filepath.Join(dir, "cluster.svg")))
}

// sampleConfig is the run that sampleRuns made up.
func sampleConfig() Config {
	return Config{
		Nodes: 3, Ownerships: []Ownership{ByKey, ByRing, None}, Duration: 10 * time.Second, Rate: 500,
		Keys: 200, Zipf: 1.1, Size: 100,
		TTL: 2 * time.Second, Capacity: 1000, Deadline: 3 * time.Second,
		OriginLatency: 20 * time.Millisecond,
		Disturb:       Split, Start: 3 * time.Second, End: 6 * time.Second, Victims: 1, Seed: 7,
	}
}

// sampleRuns is a result with invented numbers.
func sampleRuns() (Config, *Result) {
	c, r := sampleConfig(), &Result{Seed: 7}
	for i, o := range c.Ownerships {
		total := []uint64{1040, 1300, 2900}[i]
		r.Runs = append(r.Runs, &Run{
			Ownership: o, Nodes: 3, Struck: []string{"node-2"}, Seconds: 10, Fetches: 15000,
			Before: samplePhase(3, 4500, 300, 5, nil),
			During: samplePhase(3, 4500, 400, 900, nil),
			After:  samplePhase(4, 6000, total-700, 6, nil),
			Loads: Loads{Total: total, Keys: 200, PerKey: measured.Value(float64(total) / 200), Ideal: 1000,
				Same:    []uint64{960, 20, 10, 0},
				Reasons: map[Reason]uint64{reasonFirst: total - 50, reasonExpired: 50}},
			Heal: 1.5,
			Stats: Stats{
				Hits: 12000, Misses: 3000, Loads: total, LocalLoads: 40, Asked: 1900, AskFailures: 41,
				Held: 200, Moved: 60, Lost: 12,
			},
			Series: []series.Series{
				sampleWave(SeriesLoads, float64(total)/10), sampleWave(SeriesP99, 0.02),
				sampleWave(SeriesP50, 0.0005),
				{Name: SeriesErrors, Points: []series.Point{{T: 0, V: 0}, {T: 1, V: 0}}},
				sampleWave(SeriesFetches, 1500), sampleWave(SeriesLocal, 5),
			},
		})
	}
	r.Runs[2].Heal = measured.None()
	r.Runs[2].Stats = Stats{Hits: 12100, Misses: 2900, Loads: r.Runs[2].Loads.Total}
	return c, r
}

// samplePhase is one of so many seconds, fetches and loads, and milliseconds of p99.
func samplePhase(
	seconds float64, fetches, loads uint64, p99 float64, errors map[string]uint64,
) Phase {
	return Phase{
		Seconds: measured.Value(seconds), Fetches: fetches, Loads: loads, Errors: errors,
		P999: measured.Value(1.5 * p99 / 1000),
		Latency: measured.Spread{
			Count: int64(fetches), P50: 0.0002, P99: measured.Value(p99 / 1000),
			Max: measured.Value(2 * p99 / 1000),
		},
	}
}

func sampleWave(name string, mean float64) series.Series {
	s := series.Series{Name: name}
	for i := range 100 {
		s.Points = append(s.Points, series.Point{T: float64(i) / 10,
			V: mean * (1 + 0.5*math.Sin(float64(i)/5))})
	}
	return s
}
