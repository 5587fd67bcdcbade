package registry

import (
	"fmt"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
)

// mostLines is for how many nodes a chart has a line each.
const mostLines = 9

// charts draws the series of all runs with the window of the disturbance shaded. The first one
// tells the story on its own: the names that each node shows or, of several runs, how much the
// nodes lag behind.
func (r *Result) charts(p *Params) []*report.Chart {
	chart := func(name, title, unit, caption string) *report.Chart {
		return &report.Chart{Title: title, Unit: unit, Caption: caption, Lines: r.lines(name)}
	}
	names := r.namesChart(p)
	behind := chart(seriesBehind, "Views behind", "views",
		"A view is one name on one node. It is behind if it is not what it must be; what is under way "+
			"counts.")
	first, second := names, behind
	if len(r.Runs) > 1 {
		first, second = second, first
	}
	first.Wide = true
	bytes := chart(seriesBytes, "Bytes on the wire", "per second",
		"Sent by all nodes together, with all that membership needs.")
	bytes.Quantity = report.Bytes
	charts := []*report.Chart{
		first, second, r.latencyChart(),
		chart(seriesQueue, "Queue depth", "names",
			"Names that wait to be sent, in the deepest queue of any partition on any node."),
		chart(seriesMessages, "Messages sent", "messages/s", "Of the registry, by all nodes together."),
		bytes,
		chart(seriesConflicts, "Conflicts lost", "claims/s",
			"Claims that a node withdrew, as it saw a better one."),
		chart(seriesRepairs, "Repairs", "pulls/s", "Requests for what was missing."),
	}
	for _, c := range charts {
		r.shade(p, c)
	}
	r.mark(p, names)
	r.mark(p, behind)
	return lab.WithEvents(charts)
}

// namesChart shows how many names are visible: on each node or, of several runs, on the node that
// shows fewest.
func (r *Result) namesChart(p *Params) *report.Chart {
	c := &report.Chart{
		Title: "Names visible", Unit: "names", Lines: r.lines(seriesLeast),
		Caption: "On the node that shows fewest.",
	}
	if len(r.Runs) <= 1 {
		c.Caption = "What each node shows, and how many names have a holder in truth. Names of nodes " +
			"that are thought to be down are hidden at once, and come back when these are heard of again."
		c.Lines = r.nodeLines(p)
	}
	low, high := lab.Extent(c)
	if high > low && low > high/2 {
		// What happens is lost in a picture that begins at 0.
		margin := (high - low) * 0.15
		c.YRange = [2]float64{low - margin, high + margin}
	}
	return c
}

// nodeLines returns a line for each node, and the truth.
func (r *Result) nodeLines(p *Params) []report.Line {
	var lines []report.Line
	for _, x := range r.Runs {
		lines = append(lines, x.line(seriesExpected, "in truth"))
		if p.Nodes > mostLines {
			return append(lines, x.line(seriesLeast, "fewest on a node"),
				x.line(seriesMost, "most on a node"))
		}
		for i := range p.Nodes {
			lines = append(lines, x.line(seriesNamesOf+nodeName(i), nodeName(i)))
		}
	}
	return lines
}

func (r *Result) latencyChart() *report.Chart {
	c := &report.Chart{
		Title: "Registration to visibility, p99", Unit: "log scale", Quantity: report.Seconds, Log: true,
		Caption: "Of what became visible on another node in each moment; after a split those are at " +
			"first the ones that were made in it. A gap: nothing became visible.",
		Lines: r.lines(seriesVisible99),
	}
	if len(r.Runs) == 1 {
		c.Title = "Registration to visibility"
		c.Lines = []report.Line{r.Runs[0].line(seriesVisible50, "p50"),
			r.Runs[0].line(seriesVisible99, "p99")}
	}
	return c
}

// shade adds the window of the disturbance.
func (r *Result) shade(p *Params, c *report.Chart) {
	p.Disturb.Shade(c, p.Window, r.whom(p, 3))
	switch {
	case p.Disturb == lab.Skew:
		c.Windows[len(c.Windows)-1].Label += " by " + human.Plain(p.Skew)
	case p.Disturb == lab.Calm && p.Contested > 0:
		c.Windows = append(c.Windows,
			p.Shaded(human.Plural(p.Contested, "name", "names")+" claimed by two nodes each"))
	}
}

// mark adds the moments at which the runs were whole again.
func (r *Result) mark(p *Params, c *report.Chart) {
	over := p.End
	if p.Disturb == lab.Kill {
		over = p.Start
	}
	for _, x := range r.Runs {
		if !x.Whole.Exists() || x.Whole <= 0 {
			continue
		}
		label := "whole again"
		if len(r.Runs) > 1 {
			label += fmt.Sprintf(" (%s)", partitionsText(x.Partitions))
		}
		c.Marks = append(c.Marks, report.Mark{At: over.Seconds() + float64(x.Whole), Label: label})
	}
}

// lines returns one line for each run.
func (r *Result) lines(name string) []report.Line {
	var lines []report.Line
	for _, x := range r.Runs {
		lines = append(lines, x.line(name, partitionsText(x.Partitions)))
	}
	return lines
}

func (x *Run) line(name, label string) report.Line {
	return report.Line{Series: lab.SeriesOf(x.Series, name, label)}
}

// series returns the series of all runs, for a CSV file: p16_queue_depth and so on.
func (r *Result) series() []series.Series {
	var all []series.Series
	for _, x := range r.Runs {
		for _, s := range x.Series {
			s.Name = fmt.Sprintf("p%d_%s", x.Partitions, s.Name)
			all = append(all, s)
		}
	}
	return all
}
