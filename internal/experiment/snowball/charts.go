package snowball

import (
	"fmt"
	"slices"

	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/series"
)

// Charts draws the series of all runs with the fault window shaded. The first
// one tells the story on its own.
func (r *Result) Charts(s *scenario.Scenario) []*report.Chart {
	windows := []report.Window{{From: s.Fault.Start.Seconds(), To: s.Fault.End.Seconds(),
		Label: windowLabel(s)}}
	chart := func(name, title, unit, caption string) *report.Chart {
		return &report.Chart{Title: title, Unit: unit, Caption: caption, Lines: r.lines(name),
			Windows: windows}
	}
	answered := chart(seriesAnswered, "Answered requests", "requests/s", "")
	r.finishAnswered(answered, s)
	latency := chart(seriesLatency, "Latency of healthy events, p99", "log scale",
		"From the time an event was meant to be offered, so the queue counts. A gap: no healthy event "+
			"was served.")
	latency.Quantity, latency.Log = report.Seconds, true
	heap := chart(seriesHeap, "Heap", "bytes",
		"Live objects, and garbage that waits for the collector: hence the saw teeth.")
	heap.Quantity = report.Bytes
	charts := []*report.Chart{
		answered,
		chart(seriesHealthy, "Healthy throughput", "events/s",
			"Events of keys that never fail. The fault is none of their business; "+
				"they stop where callers of the other keys hold the workers."),
		chart(seriesHeld, "Workers held by failing keys", "workers",
			fmt.Sprintf("Of a pool of %d. What is held here is missing for everyone else.",
				s.Events.Workers)),
		chart(seriesQueue, "Queue depth", "events",
			fmt.Sprintf("At %d events the queue is full, and events are dropped.", s.Events.Queue)),
		latency,
		chart(seriesBlocked, "Callers blocked in the cache", "callers",
			"Callers of any key that wait for a load."),
		chart(seriesDrops, "Events dropped", "events/s", "Events that found the queue full."),
		chart(seriesTimeouts, "Callers timed out", "callers/s",
			fmt.Sprintf("Callers who gave up after %s.", plain(s.Events.Timeout))),
		chart(seriesGoroutines, "Goroutines", "goroutines", "All of the process."),
		heap,
		chart(seriesAbandoned, "Abandoned functions", "functions",
			"Fetch functions that were given up and still run. The courier bounds them; with the fix off "+
				"none is ever given up."),
	}
	return slices.DeleteFunc(charts,
		func(c *report.Chart) bool { return c != answered && eventless(c) })
}

// finishAnswered makes c the picture of what callers got.
func (r *Result) finishAnswered(c *report.Chart, s *scenario.Scenario) {
	c.Wide = true
	c.Caption = "Events of all keys that got a value, as means of 0.2 s; " +
		"what is missing got an error, waits, or was dropped. " +
		"Without the fix callers of failing keys hold the workers and give up together, " +
		"after their own time-out: then the rest of the queue is worked off, " +
		"until the workers have met dead keys again."
	if r.Stale != nil {
		c.Caption += " With the fix they get an error at once, and with stale values the last good value."
		for _, l := range r.linesOf(r.Stale, seriesStale) {
			l.Name = "stale values among them"
			c.Lines = append(c.Lines, l)
		}
	}
	for i := range c.Lines {
		c.Lines[i].Points = means(c.Lines[i].Points, pictured)
	}
	for _, run := range r.runs() {
		if run.Recovery.Exists() && run.Recovery > 0 {
			c.Marks = append(c.Marks, report.Mark{
				At:    s.Fault.End.Seconds() + float64(run.Recovery),
				Label: fmt.Sprintf("recovered (%s)", run.Fix.words()),
			})
		}
	}
}

// pictured is how long each point of the picture stands for. The samples are closer, and on a busy
// machine they show when goroutines got to run more than what became of requests.
const pictured = 0.2

// means returns the mean rates of stretches of so many seconds, each at the end of its stretch. A
// gap ends a stretch.
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

// eventless reports whether a chart shows nothing but zeros.
func eventless(c *report.Chart) bool {
	for _, l := range c.Lines {
		if low, high, ok := l.Range(); ok && (low != 0 || high != 0) {
			return false
		}
	}
	return true
}

// Series returns the series of all runs, for a CSV file: off_..., on_... and stale_....
func (r *Result) Series() []series.Series {
	var all []series.Series
	for _, run := range r.runs() {
		for _, s := range run.Series {
			s.Name = string(run.Fix) + "_" + s.Name
			all = append(all, s)
		}
	}
	return all
}

func (r *Result) lines(name string) []report.Line {
	var lines []report.Line
	for _, run := range r.runs() {
		lines = append(lines, r.linesOf(run, name)...)
	}
	return lines
}

// linesOf returns one series of one run, called by the run.
func (r *Result) linesOf(run *Run, name string) []report.Line {
	for _, s := range run.Series {
		if s.Name == name {
			s.Name = run.Fix.words()
			return []report.Line{{Series: s, Role: report.Role(run.Fix)}}
		}
	}
	return nil
}

func windowLabel(s *scenario.Scenario) string {
	if s.Fault.Kind == origin.FaultNone || s.Fault.Rate == 0 {
		return "no load fails"
	}
	return fmt.Sprintf("fault: fetch of %s %s", keys(s.Fault.Keys), verb(s.Fault.Kind))
}
