package snowball

import (
	"fmt"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
)

// charts draws the series of all runs with the fault window shaded. The first one tells the story
// on its own.
func (r *Result) charts(p *Params) []*report.Chart {
	label := "no load fails"
	if p.Fault.Kind != origin.FaultNone && p.Fault.Rate > 0 {
		label = fmt.Sprintf("fault: fetch of %s %s", human.Plural(p.Fault.Keys, "key", "keys"),
			verbs[p.Fault.Kind])
	}
	chart := func(name, title, unit, caption string) *report.Chart {
		return &report.Chart{Title: title, Unit: unit, Caption: caption, Lines: r.lines(name),
			Windows: []report.Window{p.Shaded(label)}}
	}
	latency := chart(seriesLatency, "Latency of healthy events, p99", "log scale",
		"From the time an event was meant to be offered, so the queue counts. A gap: no healthy event "+
			"was served.")
	latency.Quantity, latency.Log = report.Seconds, true
	heap := chart(seriesHeap, "Heap", "bytes",
		"Live objects, and garbage that waits for the collector: hence the saw teeth.")
	heap.Quantity = report.Bytes
	return lab.WithEvents([]*report.Chart{
		r.answered(chart(seriesAnswered, "Answered requests", "requests/s", ""), p),
		chart(seriesHealthy, "Healthy throughput", "events/s",
			"Events of keys that never fail. The fault is none of their business; "+
				"they stop where callers of the other keys hold the workers."),
		chart(seriesHeld, "Workers held by failing keys", "workers",
			fmt.Sprintf("Of a pool of %d. What is held here is missing for everyone else.", p.Workers)),
		chart(seriesQueue, "Queue depth", "events",
			fmt.Sprintf("At %d events the queue is full, and events are dropped.", p.Queue)),
		latency,
		chart(seriesBlocked, "Callers blocked in the cache", "callers",
			"Callers of any key that wait for a load."),
		chart(seriesDrops, "Events dropped", "events/s", "Events that found the queue full."),
		chart(seriesTimeouts, "Callers timed out", "callers/s",
			fmt.Sprintf("Callers who gave up after %s.", human.Plain(p.Timeout))),
		chart(seriesGoroutines, "Goroutines", "goroutines", "All of the process."),
		heap,
		chart(seriesAbandoned, "Abandoned functions", "functions",
			"Fetch functions that were given up and still run. The courier bounds them; with the fix off "+
				"none is ever given up."),
	})
}

// answered makes c the picture of what callers got.
func (r *Result) answered(c *report.Chart, p *Params) *report.Chart {
	c.Wide = true
	c.Caption = "Events of all keys that got a value, as means of 0.2 s; " +
		"what is missing got an error, waits, or was dropped. " +
		"Without the fix callers of failing keys hold the workers and give up together, " +
		"after their own time-out: then the rest of the queue is worked off, " +
		"until the workers have met dead keys again."
	if r.Stale != nil {
		c.Caption += " With the fix they get an error at once, and with stale values the last good value."
		c.Lines = append(c.Lines, r.Stale.line(seriesStale, "stale values among them"))
	}
	for i := range c.Lines {
		c.Lines[i].Points = means(c.Lines[i].Points, pictured)
	}
	for _, run := range r.runs() {
		if run.Recovery.Exists() && run.Recovery > 0 {
			c.Marks = append(c.Marks, report.Mark{At: p.End.Seconds() + float64(run.Recovery),
				Label: fmt.Sprintf("recovered (%s)", run.Fix.words())})
		}
	}
	return c
}

// lines returns one series of all runs, called by the runs.
func (r *Result) lines(name string) []report.Line {
	var lines []report.Line
	for _, run := range r.runs() {
		lines = append(lines, run.line(name, run.Fix.words()))
	}
	return lines
}

func (r *Run) line(name, label string) report.Line {
	line := report.Line{Series: lab.SeriesOf(r.Series, name, label)}
	switch r.Fix {
	case Off, On, Stale:
		line.Role = report.Role(r.Fix)
	case Snowfence:
		line.Role = report.FixOn
	}
	return line
}

// series returns the series of all runs, for a CSV file: off_..., on_... and stale_....
func (r *Result) series() []series.Series {
	var all []series.Series
	for _, run := range r.runs() {
		for _, s := range run.Series {
			s.Name = string(run.Fix) + "_" + s.Name
			all = append(all, s)
		}
	}
	return all
}

// pictured is the length, in seconds, of the stretch that each point of the picture stands for.
// Samples are closer, and on a busy machine they show when goroutines got to run more than what
// became of requests.
const pictured = 0.2

// means returns the mean rates of stretches of a number of seconds, each at the end of its stretch.
// A gap ends a stretch.
func means(rates []series.Point, seconds float64) []series.Point {
	var all []series.Point
	last, from, events := 0.0, 0.0, 0.0
	flush := func(to float64) {
		if to > from {
			all = append(all, series.Point{T: to, V: events / (to - from)})
		}
		from, events = to, 0
	}
	for i, p := range rates {
		if p.Gap() {
			flush(last)
			all = append(all, p)
			last, from = p.T, p.T
			continue
		}
		events += p.V * (p.T - last)
		last = p.T
		// A hair less, since times are no binary fractions.
		if last-from >= seconds-1e-9 || i == len(rates)-1 {
			flush(last)
		}
	}
	return all
}
