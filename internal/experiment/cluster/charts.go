package cluster

import (
	"fmt"
	"slices"

	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
)

// Charts draws the series of all runs, a line for each ownership, with the disturbance shaded. The
// first one tells the story on its own: what the origin has to bear.
func (r *Result) Charts(c Config) []*report.Chart {
	chart := func(name, title, unit, caption string) *report.Chart {
		return r.shade(c, &report.Chart{Title: title, Unit: unit, Caption: caption, Lines: r.lines(name)})
	}
	loads := chart(SeriesLoads, "Loads by the origin", "loads/s",
		"What the origin has to bear for the same fetches. Waves one TTL apart are keys that were "+
			"loaded at the same time, and expire together.")
	loads.Wide = true
	p99 := chart(SeriesP99, "Latency of a fetch, p99", "log scale",
		"From when the fetch was to begin, on all nodes that live. A gap: nothing ended.")
	p99.Quantity, p99.Log = report.Seconds, true
	p50 := chart(SeriesP50, "Latency of a fetch, p50", "log scale",
		"Half of the fetches were faster than this.")
	p50.Quantity, p50.Log = report.Seconds, true
	charts := []*report.Chart{
		loads, p99, p50,
		chart(SeriesErrors, "Errors", "errors/s", "Fetches that ended in an error."),
		chart(SeriesLocal, "Loads without the owner", "loads/s",
			"The owner was asked and did not answer, so the node that asked loaded the value for itself."),
		chart(SeriesFetches, "Fetches", "fetches/s",
			"On all nodes together. Where a node is down, its callers are gone with it."),
	}
	return slices.DeleteFunc(charts, func(c *report.Chart) bool { return c != loads && eventless(c) })
}

// shade adds the window of the disturbance.
func (r *Result) shade(c Config, chart *report.Chart) *report.Chart {
	who := struck(c, r)
	window := report.Window{From: c.Start.Seconds(), To: c.End.Seconds()}
	switch c.Disturb {
	case Kill:
		chart.Marks = append(chart.Marks, report.Mark{At: c.Start.Seconds(), Label: who + " killed"})
	case Restart:
		window.Label = who + " down"
	case Pause:
		window.Label = who + " stopped"
	case Split:
		window.Label = "split: " + who + " cut off"
	case Rolling:
		window.Label = "one after the other restarted"
	case OriginSlow:
		window.Label = "origin slow"
	case OriginFail:
		window.Label = "origin fails"
	case Poison:
		window.Label = "one key kills its node"
	case Calm:
	}
	if window.Label != "" {
		chart.Windows = append(chart.Windows, window)
	}
	return chart
}

// lines is one line for each run. An ownership has one look in all charts of a report; no cluster
// is always dashed.
func (r *Result) lines(name string) []report.Line {
	var lines []report.Line
	for _, x := range r.Runs {
		line := report.Line{Series: x.series(name), Role: roles[x.Ownership]}
		line.Name = x.Ownership.column()
		lines = append(lines, line)
	}
	return lines
}

var roles = map[Ownership]report.Role{None: report.FixOff, BySlot: report.FixOn}

// series is the one of this name; without points if there is none.
func (x *Run) series(name string) series.Series {
	for _, s := range x.Series {
		if s.Name == name {
			return s
		}
	}
	return series.Series{Name: name}
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

// AllSeries returns the series of all runs, for a CSV file: slot_origin_loads_per_second and so on.
func (r *Result) AllSeries() []series.Series {
	var all []series.Series
	for _, x := range r.Runs {
		for _, s := range x.Series {
			s.Name = fmt.Sprintf("%s_%s", x.Ownership, s.Name)
			all = append(all, s)
		}
	}
	return all
}
