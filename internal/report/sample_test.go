package report_test

import (
	"flag"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

var sampleDir = flag.String("sample", "",
	"write the sample report, SVG and CSV into this folder, to look at")

func TestWriteSample(t *testing.T) {
	dir := *sampleDir
	if dir == "" {
		dir = t.TempDir()
	}
	r := sampleReport()
	require.NoError(t, r.WriteHTMLFile(filepath.Join(dir, "report.html")))
	require.NoError(t, r.WriteCSVFile(filepath.Join(dir, "report.csv")))
	require.NoError(t, r.Charts[0].WriteSVGFile(filepath.Join(dir, "chart.svg")))
}

// sampleReport looks like a run of "cachebench snowball": a fault from 2 s to
// 5 s fills the workers with callers of dead keys until the callers' time-out
// of 2 s. The numbers are invented here, for the looks of the page alone.
func sampleReport() *report.Report {
	seed := uint64(42)
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(size float64) float64 { return (rng.Float64() - 0.5) * size }
	rec := series.NewRecorder()
	blocked, queue := 0.0, 0.0
	for i := 1; i <= 250; i++ {
		at := time.Duration(i) * 40 * time.Millisecond
		s := at.Seconds()
		fault := s >= 2 && s < 5
		switch {
		case fault:
			blocked = math.Min(64, blocked+2.2)
		case s >= 7:
			blocked = math.Max(0, blocked-4)
		}
		share := 1 - blocked/64
		queue = math.Max(0, math.Min(4096, queue+(0.85-share)*55))
		p99off := 0.0008 * math.Exp(noise(0.6))
		if blocked > 5 {
			p99off = 2 * math.Exp(noise(0.1))
		}
		for name, v := range map[string]float64{
			"rate off": 1000*math.Max(0.04, share) + noise(40), "rate on": 1000 + noise(50),
			"blocked off": blocked, "blocked on": math.Max(0, 1+noise(3)),
			"queue off": queue, "queue on": math.Max(0, 3+noise(6)),
			"p50 off": p99off / 6, "p99 off": p99off,
			"p50 on": 0.00012 * math.Exp(noise(0.3)), "p99 on": 0.0008 * math.Exp(noise(0.6)),
			"goroutines off": 80 + blocked*9 + noise(4), "goroutines on": 84 + noise(6),
			"heap off": (24 + queue/90 + noise(3)) * (1 << 20), "heap on": (24 + noise(5)) * (1 << 20),
		} {
			rec.Add(name, at, v)
		}
	}
	window := []report.Window{{From: 2, To: 5, Label: "fault: fetch of 5 keys panics"}}
	pair := func(name string) []report.Line {
		off, on := rec.Series(name+" off"), rec.Series(name+" on")
		off.Name, on.Name = "fix off", "fix on"
		return []report.Line{{Series: off, Role: report.FixOff}, {Series: on, Role: report.FixOn}}
	}
	latency := append(pair("p99"), pair("p50")...)
	for i, name := range []string{"fix off, p99", "fix on, p99", "fix off, p50", "fix on, p50"} {
		latency[i].Name = name
	}
	t := table.New("The same load, with the fix off and on", "measure", "fix off", "fix on")
	t.Columns[2].Highlight = true
	t.AddCompared(table.Higher, table.Text("healthy events/s in the window"), table.Rate(412),
		table.Rate(1001))
	t.AddCompared(table.Higher, table.Text("healthy events/s after it"), table.Rate(655),
		table.Rate(999))
	t.AddCompared(table.Lower, table.Text("healthy p99 in the window"),
		table.Duration(2010*time.Millisecond), table.Duration(1200*time.Microsecond))
	t.AddCompared(table.Lower, table.Text("caller of a crashing key learns of it in (median)"),
		table.Duration(2001*time.Millisecond), table.Duration(45*time.Microsecond))
	t.AddCompared(table.Lower, table.Text("time-outs"), table.Count(12585), table.Count(0))
	t.AddCompared(table.Lower, table.Text("callers blocked at peak"), table.Count(64), table.Count(3))
	t.AddCompared(table.Lower, table.Text("queue depth at peak"), table.Count(4096), table.Count(9))
	t.AddCompared(table.Lower, table.Text("heap at peak"), table.Bytes(71.4*(1<<20)),
		table.Bytes(26.8*(1<<20)))
	t.AddCompared(table.Lower, table.Text("time to recover"), table.Missing(), table.Duration(0))
	t.Note("The window is the time of the fault, from 2 s to 5 s. The better number of each row is " +
		"bold.")
	return &report.Report{
		Title: "Snowball: a crashing fetch, with the courier's fix off and on",
		Finding: "With the fix off healthy throughput fell to 412/s while five keys crashed; with it on it " +
			"held at 1,001/s.",
		Summary: "A service of 64 workers takes 1,000 events a second from a queue; each event needs " +
			"one key through the cache. " +
			"For three seconds the fetch of five keys crashes. With the fix off nobody tells the callers " +
			"of those keys, so each holds " +
			"a worker until its own time-out, and the other keys starve. With the fix on they get an " +
			"error at once.",
		Command: "cachebench snowball --fault panic --rate 1000 --workers 64 --seed 42 --check " +
			"--report out/report.html",
		Seed: &seed,
		Scenario: "name: snowball-panic\nduration: 10s\nrate: 1000\nworkers: 64\nfault:\n  kind: " +
			"panic\n  keys: 5\n  from: 2s\n  to: 5s\n",
		Environment: report.Environment{Go: "go1.25.0", OS: "linux", Arch: "amd64", Cores: 8,
			GOMAXPROCS: 8},
		Checks: []report.Check{
			{Name: "Fix off: healthy throughput falls by half or more", OK: true, Detail: "by 58.80 %"},
			{Name: "Fix on: healthy throughput stays within 5 %", OK: true, Detail: "by 0.10 %"},
			{Name: "Fix on: a caller hears of a crash in under 1 ms", OK: false,
				Detail: "1.2 ms at the median (this one fails for show)"},
		},
		Tables: []*table.Table{t},
		Glossary: [][2]string{
			{"fix off", "nobody tells the callers of a fetch that died"},
			{"time-outs", "callers who gave up after 2 s"},
		},
		Charts: []*report.Chart{
			{Title: "Healthy throughput", Unit: "events/s", Wide: true, Lines: pair("rate"), Windows: window,
				Marks: []report.Mark{{At: 8.1, Label: "recovered (fix off)"}},
				Caption: "Events of keys that never fail. The fault is none of their business, and yet they " +
					"stop when the workers are all taken."},
			{Title: "Callers blocked", Unit: "callers", Lines: pair("blocked"), Windows: window},
			{Title: "Queue depth", Unit: "events", Lines: pair("queue"), Windows: window},
			{Title: "Latency of healthy events", Unit: "log scale", Quantity: report.Seconds, Log: true,
				Lines: latency, Windows: window},
			{Title: "Goroutines", Unit: "goroutines", Lines: pair("goroutines"), Windows: window},
			{Title: "Heap in use", Unit: "bytes", Quantity: report.Bytes, Lines: pair("heap"),
				Windows: window},
			{Title: "Origin", Unit: "loads/s", Windows: window,
				Lines: []report.Line{{Series: rec.Series("rate on")}, {Series: rec.Series("goroutines on")}}},
		},
	}
}
