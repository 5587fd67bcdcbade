package cluster

import (
	"flag"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
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
	p, r := sampleRuns()
	doc := sampleReport(p, r)
	require.NoError(t, doc.WriteHTMLFile(filepath.Join(dir, "report.html")))
	require.NoError(t, doc.Charts[0].WriteSVGFile(filepath.Join(dir, "cluster.svg")))
}

// sampleReport returns the report of a result.
func sampleReport(p *Params, r *Result) *report.Report {
	shown := page(p, r)
	return &report.Report{Title: shown.Title, Summary: shown.Story + " " + shown.Finding,
		Command: "cachebench cluster", Environment: report.CurrentEnvironment(), Checks: shown.Checks,
		Tables: shown.Tables, Charts: shown.Charts}
}

// sampleParams are those of the run that sampleRuns made up.
func sampleParams() *Params {
	p := defaults()
	p.Ownerships, p.Duration, p.Rate, p.KeyCount = []Ownership{ByKey, ByRing, None}, 10*time.Second,
		500, 200
	p.TTL, p.Capacity, p.Timeout = 2*time.Second, 1000, 3*time.Second
	p.Disturb, p.Start, p.End, p.Seed = lab.Split, 3*time.Second, 6*time.Second, 7
	return &p
}

// sampleRuns is a result with invented numbers.
func sampleRuns() (*Params, *Result) {
	p, r := sampleParams(), &Result{}
	for i, o := range p.Ownerships {
		total := []uint64{1040, 1300, 2900}[i]
		r.Runs = append(r.Runs, &Run{
			Ownership: o, Victims: []string{"node-2"}, Seconds: 10, Fetches: 15000,
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
				sampleWave(seriesLoads, float64(total)/10), sampleWave(seriesP99, 0.02),
				sampleWave(seriesP50, 0.0005),
				{Name: seriesErrors, Points: []series.Point{{T: 0, V: 0}, {T: 1, V: 0}}},
				sampleWave(seriesFetches, 1500), sampleWave(seriesLocal, 5),
			},
		})
	}
	r.Runs[2].Heal = measured.None()
	r.Runs[2].Stats = Stats{Hits: 12100, Misses: 2900, Loads: r.Runs[2].Loads.Total}
	return p, r
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
