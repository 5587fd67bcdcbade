package clusterload

import (
	"fmt"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/series"
)

// mostLines is for how many nodes a chart has a line each.
const mostLines = 9

// Charts draws the series of all runs with the window of the disturbance shaded. The first one
// tells the story on its own: the names that each node shows or, of several runs, how much the
// nodes lag behind.
func (r *Result) Charts(s *scenario.Scenario) []*report.Chart {
	chart := func(name, title, unit, caption string) *report.Chart {
		return r.shade(s, &report.Chart{Title: title, Unit: unit, Caption: caption, Lines: r.lines(name)})
	}
	behind := r.mark(s, chart(seriesBehind, "Views behind", "views",
		"A view is one name on one node. It is behind if it is not what it must be; what is under way "+
			"counts."))
	first, second := r.namesChart(s), behind
	if len(r.Runs) > 1 {
		first, second = second, first
	}
	first.Wide = true
	bytes := chart(seriesBytes, "Bytes on the wire", "per second",
		"Sent by all nodes together, with all that membership needs.")
	bytes.Quantity = report.Bytes
	charts := []*report.Chart{
		first, second, r.latencyChart(s),
		chart(seriesQueue, "Queue depth", "names",
			"Names that wait to be sent, in the deepest queue of any partition on any node."),
		chart(seriesMessages, "Messages sent", "messages/s", "Of the registry, by all nodes together."),
		bytes,
		chart(seriesConflicts, "Conflicts lost", "claims/s",
			"Claims that a node withdrew, as it saw a better one."),
		chart(seriesRepairs, "Repairs", "pulls/s", "Requests for what was missing."),
	}
	return slices.DeleteFunc(charts, func(c *report.Chart) bool { return c != first && eventless(c) })
}

// namesChart shows how many names are visible.
func (r *Result) namesChart(s *scenario.Scenario) *report.Chart {
	c := r.mark(s, r.shade(s, &report.Chart{
		Title: "Names visible", Unit: "names", Lines: r.nameLines(s),
		Caption: "What each node shows, and how many names have a holder in truth. Names of nodes that " +
			"are thought to be down are hidden at once, and come back when these are heard of again.",
	}))
	if len(r.Runs) > 1 {
		c.Caption = "On the node that shows fewest."
	}
	low, high := extent(c)
	if high > low && low > high/2 {
		// What happens is lost in a picture that begins at 0.
		margin := (high - low) * 0.15
		c.YRange = [2]float64{low - margin, high + margin}
	}
	return c
}

func (r *Result) latencyChart(s *scenario.Scenario) *report.Chart {
	c := r.shade(s, &report.Chart{
		Title: "Registration to visibility, p99", Unit: "log scale", Quantity: report.Seconds, Log: true,
		Caption: "Of what became visible on another node in each moment; after a split those are at " +
			"first the ones that were made in it. A gap: nothing became visible.",
		Lines: r.lines(seriesVisible99),
	})
	if len(r.Runs) == 1 {
		c.Title = "Registration to visibility"
		c.Lines = slices.Concat(named(r.lines(seriesVisible50), "p50"), named(c.Lines, "p99"))
	}
	return c
}

// shade adds the window of the disturbance.
func (r *Result) shade(s *scenario.Scenario, c *report.Chart) *report.Chart {
	d := s.Disturb
	who := nodes(d.Nodes)
	if len(r.Runs) > 0 && len(r.Runs[0].Struck) > 0 && len(r.Runs[0].Struck) <= 3 {
		who = strings.Join(r.Runs[0].Struck, ", ")
	}
	window := report.Window{From: d.Start.Seconds(), To: d.End.Seconds()}
	switch d.Kind {
	case scenario.DisturbKill:
		c.Marks = append(c.Marks, report.Mark{At: d.Start.Seconds(), Label: who + " killed"})
	case scenario.DisturbRestart:
		window.Label = who + " down"
	case scenario.DisturbSplit:
		window.Label = "split: " + who + " cut off"
	case scenario.DisturbFlap:
		window.Label = "links of " + who + " flap"
	case scenario.DisturbSkew:
		window.Label = fmt.Sprintf("clock of %s off by %s", who, plain(d.Skew))
	case scenario.DisturbNone:
		if s.Registry.Contested > 0 {
			window.Label = fmt.Sprintf("%s claimed by two nodes each", names(s.Registry.Contested))
		}
	}
	if window.Label != "" {
		c.Windows = append(c.Windows, window)
	}
	return c
}

// mark adds the moments at which the runs were whole again.
func (r *Result) mark(s *scenario.Scenario, c *report.Chart) *report.Chart {
	over := s.Disturb.End
	if s.Disturb.Kind == scenario.DisturbKill {
		over = s.Disturb.Start
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
	return c
}

// nameLines is one line for each node, or for each run if there are several; and the truth.
func (r *Result) nameLines(s *scenario.Scenario) []report.Line {
	if len(r.Runs) > 1 {
		return r.lines(seriesLeast)
	}
	var lines []report.Line
	for _, x := range r.Runs {
		lines = append(lines, line(x, seriesExpected, "in truth"))
		if s.Registry.Nodes > mostLines {
			return append(lines, line(x, seriesLeast, "fewest on a node"),
				line(x, seriesMost, "most on a node"))
		}
		for i := range s.Registry.Nodes {
			name := nodeName(i)
			lines = append(lines, line(x, seriesNamesOf+name, name))
		}
	}
	return lines
}

// lines is one line for each run.
func (r *Result) lines(name string) []report.Line {
	var lines []report.Line
	for _, x := range r.Runs {
		lines = append(lines, line(x, name, partitionsText(x.Partitions)))
	}
	return lines
}

func line(x *Run, name, label string) report.Line {
	for _, s := range x.Series {
		if s.Name == name {
			s.Name = label
			return report.Line{Series: s}
		}
	}
	return report.Line{Series: series.Series{Name: label}}
}

func named(lines []report.Line, name string) []report.Line {
	for i := range lines {
		lines[i].Name = name
	}
	return lines
}

func extent(c *report.Chart) (low, high float64) {
	first := true
	for _, l := range c.Lines {
		a, b, ok := l.Range()
		switch {
		case !ok:
		case first:
			low, high, first = a, b, false
		default:
			low, high = min(low, a), max(high, b)
		}
	}
	return low, high
}

// eventless reports whether a chart shows nothing but zeros.
func eventless(c *report.Chart) bool {
	low, high := extent(c)
	return low == 0 && high == 0
}

// AllSeries returns the series of all runs, for a CSV file: p16_queue_depth and so on.
func (r *Result) AllSeries() []series.Series {
	var all []series.Series
	for _, x := range r.Runs {
		for _, s := range x.Series {
			s.Name = fmt.Sprintf("p%d_%s", x.Partitions, s.Name)
			all = append(all, s)
		}
	}
	return all
}
