package cluster

import (
	"fmt"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
)

// charts draws the series of all runs, a line for each ownership, with the disturbance shaded. The
// first one tells the story on its own: what the origin has to bear.
func (r *Result) charts(p *Params) []*report.Chart {
	chart := func(name, title, unit, caption string) *report.Chart {
		c := &report.Chart{Title: title, Unit: unit, Caption: caption}
		// An ownership has one look in all charts of a report; no cluster is always dashed.
		roles := map[Ownership]report.Role{None: report.FixOff, BySlot: report.FixOn}
		for _, x := range r.Runs {
			c.Lines = append(c.Lines, report.Line{Role: roles[x.Ownership],
				Series: lab.SeriesOf(x.Series, name, x.Ownership.column())})
		}
		p.Disturb.Shade(c, p.Window, victims(p, r))
		return c
	}
	latency := func(name, title, caption string) *report.Chart {
		c := chart(name, title, "log scale", caption)
		c.Quantity, c.Log = report.Seconds, true
		return c
	}
	loads := chart(seriesLoads, "Loads by the origin", "loads/s",
		"What the origin has to bear for the same fetches. Waves one TTL apart are keys that were "+
			"loaded at the same time, and expire together.")
	loads.Wide = true
	return lab.WithEvents([]*report.Chart{
		loads,
		latency(seriesP99, "Latency of a fetch, p99",
			"From when the fetch was to begin, on all nodes that live. A gap: nothing ended."),
		latency(seriesP50, "Latency of a fetch, p50", "Half of the fetches were faster than this."),
		chart(seriesErrors, "Errors", "errors/s", "Fetches that ended in an error."),
		chart(seriesLocal, "Loads without the owner", "loads/s",
			"The owner was asked and did not answer, so the node that asked loaded the value for itself."),
		chart(seriesFetches, "Fetches", "fetches/s",
			"On all nodes together. Where a node is down, its callers are gone with it."),
	})
}

// allSeries returns the series of all runs: slot_origin_loads_per_second and so on.
func (r *Result) allSeries() []series.Series {
	all := []series.Series{}
	for _, x := range r.Runs {
		for _, s := range x.Series {
			s.Name = fmt.Sprintf("%s_%s", x.Ownership, s.Name)
			all = append(all, s)
		}
	}
	return all
}
