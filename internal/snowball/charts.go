package snowball

import (
	"fmt"
	"slices"

	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/series"
)

// Charts draws the series of both runs with the fault window shaded. The first
// one tells the story on its own.
func (r *Result) Charts(s *scenario.Scenario) []*report.Chart {
	windows := []report.Window{{From: s.Fault.Start.Seconds(), To: s.Fault.End.Seconds(), Label: windowLabel(s)}}
	chart := func(name, title, unit, caption string) *report.Chart {
		return &report.Chart{Title: title, Unit: unit, Caption: caption, Lines: r.lines(name), Windows: windows}
	}
	throughput := chart(seriesHealthy, "Healthy throughput", "events/s",
		"Events of keys that never fail. The fault is none of their business; they stop where callers of the other keys hold the workers. Without the fix these give up together, "+
			"after their own time-out: then the rest of the queue is worked off, until the workers have met dead keys again.")
	throughput.Wide = true
	for _, run := range []*Run{r.Off, r.On} {
		if run != nil && run.Recovery.Exists() && run.Recovery > 0 {
			throughput.Marks = append(throughput.Marks, report.Mark{
				At: s.Fault.End.Seconds() + float64(run.Recovery), Label: fmt.Sprintf("recovered (fix %s)", run.Fix),
			})
		}
	}
	latency := chart(seriesLatency, "Latency of healthy events, p99", "log scale",
		"From the time an event was meant to be offered, so the queue counts. A gap: no healthy event was served.")
	latency.Quantity, latency.Log = report.Seconds, true
	heap := chart(seriesHeap, "Heap", "bytes", "Live objects, and garbage that waits for the collector: hence the saw teeth.")
	heap.Quantity = report.Bytes
	charts := []*report.Chart{
		throughput,
		chart(seriesHeld, "Workers held by failing keys", "workers",
			fmt.Sprintf("Of a pool of %d. What is held here is missing for everyone else.", s.Events.Workers)),
		chart(seriesQueue, "Queue depth", "events", fmt.Sprintf("At %d events the queue is full, and events are dropped.", s.Events.Queue)),
		latency,
		chart(seriesBlocked, "Callers blocked in the cache", "callers", "Callers of any key that wait for a load."),
		chart(seriesDrops, "Events dropped", "events/s", "Events that found the queue full."),
		chart(seriesTimeouts, "Callers timed out", "callers/s", fmt.Sprintf("Callers who gave up after %s.", plain(s.Events.Timeout))),
		chart(seriesGoroutines, "Goroutines", "goroutines", "All of the process."),
		heap,
		chart(seriesAbandoned, "Abandoned functions", "functions", "Fetch functions that were given up and still run. The courier bounds them; with the fix off none is ever given up."),
	}
	return slices.DeleteFunc(charts, func(c *report.Chart) bool { return c != throughput && eventless(c) })
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

// Series returns the series of both runs, for a CSV file: off_... and on_....
func (r *Result) Series() []series.Series {
	var all []series.Series
	for _, run := range []*Run{r.Off, r.On} {
		if run == nil {
			continue
		}
		for _, s := range run.Series {
			s.Name = string(run.Fix) + "_" + s.Name
			all = append(all, s)
		}
	}
	return all
}

func (r *Result) lines(name string) []report.Line {
	var lines []report.Line
	for _, run := range []*Run{r.Off, r.On} {
		if run == nil {
			continue
		}
		for _, s := range run.Series {
			if s.Name == name {
				s.Name = "fix " + string(run.Fix)
				lines = append(lines, report.Line{Series: s, Role: report.Role(run.Fix)})
			}
		}
	}
	return lines
}

func windowLabel(s *scenario.Scenario) string {
	if s.Fault.Kind == origin.FaultNone || s.Fault.Rate == 0 {
		return "no load fails"
	}
	return fmt.Sprintf("fault: fetch of %s %s", keys(s.Fault.Keys), verb(s.Fault.Kind))
}
