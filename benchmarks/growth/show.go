package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// A quantity is a number of results. Less is better.
type quantity struct {
	name    string
	of      func(*result) float64
	seconds bool   // otherwise bytes
	chart   string // name of its file; empty: there is none
	unit    string // of the chart, if it is a time
	caption string
}

var quantities = []quantity{
	{name: "time of a hit", of: func(r *result) float64 { return r.Hit }, seconds: true},
	{name: "processor time of a hit", of: func(r *result) float64 { return r.HitCPU }, seconds: true,
		chart: "growth-hit.svg", unit: "ns", caption: "Get of a stored key, all keys alike."},
	{name: "time of a miss", of: func(r *result) float64 { return r.Miss }, seconds: true},
	{name: "processor time of a miss", of: func(r *result) float64 { return r.MissCPU }, seconds: true,
		chart: "growth-miss.svg", unit: "ns", caption: "Fetch of a new key, which evicts another."},
	{name: "bytes of an entry", of: func(r *result) float64 { return r.PerEntry },
		chart: "growth-bytes.svg", caption: "Of the heap, for an int key and an int value."},
	{name: "a garbage collection", of: func(r *result) float64 { return r.GC }, seconds: true,
		chart: "growth-gc.svg", unit: "ms", caption: "From its call to its end, in an idle cache."},
	{name: "its processor time", of: func(r *result) float64 { return r.GCCPU }, seconds: true},
	{name: "longest pause", of: func(r *result) float64 { return r.Pause }, seconds: true,
		chart: "growth-pause.svg", unit: "ms", caption: "Of the garbage collections of a whole run."},
}

// perSecond has the units of charts.
var perSecond = map[string]float64{"ms": 1e3, "ns": 1e9}

// values returns the values of a library and a size, by round.
func (q *quantity) values(results []result, library string, entries int) map[int]float64 {
	byRound := make(map[int]float64)
	for i := range results {
		if r := &results[i]; r.Library == library && r.Entries == entries {
			byRound[r.Round] = q.of(r)
		}
	}
	return byRound
}

// format returns a value with its unit.
func (q *quantity) format(v float64) string {
	if q.seconds {
		return human.Seconds(v)
	}
	return human.Bytes(v)
}

// cell returns a library's median, and the median of its ratios to ours within rounds.
func (q *quantity) cell(results []result, library string, entries int) table.Cell {
	byRound := q.values(results, library, entries)
	var all, ratios []float64
	base := q.values(results, ours, entries)
	for round, v := range byRound {
		all = append(all, v)
		if b := base[round]; b > 0 {
			ratios = append(ratios, v/b)
		}
	}
	if len(all) == 0 {
		return table.Missing()
	}
	mid := cli.Median(all)
	text := q.format(mid)
	if library != ours && len(ratios) > 0 {
		text += " ×" + strconv.FormatFloat(cli.Median(ratios), 'f', 2, 64)
	}
	return table.Number(mid).As(text)
}

// librariesOf returns the names of the libraries, in the order of their list.
func librariesOf(results []result) (names []string) {
	for _, l := range libraries {
		if slices.ContainsFunc(results, func(r result) bool { return r.Library == l.name }) {
			names = append(names, l.name)
		}
	}
	return names
}

// sizesOf returns the sizes, ascending.
func sizesOf(results []result) (sizes []int) {
	for i := range results {
		sizes = append(sizes, results[i].Entries)
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// tables returns a table for each quantity, with a row for each size and a column for each library.
func tables(results []result) []*table.Table {
	var all []*table.Table
	names := librariesOf(results)
	for _, q := range quantities {
		t := table.New("", append([]string{q.name}, names...)...)
		for _, entries := range sizesOf(results) {
			cells := []table.Cell{table.Text(human.Count(entries) + " entries")}
			for _, name := range names {
				cells = append(cells, q.cell(results, name, entries))
			}
			t.AddCompared(table.Lower, cells...)
		}
		all = append(all, t)
	}
	return all
}

// show prints the tables, and what was not measured.
func show(out io.Writer, results []result, skipped []string, markdown bool) error {
	if err := cli.WriteTables(out, tables(results), markdown); err != nil {
		return err
	}
	for _, line := range skipped {
		if _, err := fmt.Fprintf(out, "Not measured: %s.\n", line); err != nil {
			return err
		}
	}
	return nil
}

// draw writes the charts into a folder.
func draw(folder string, results []result) error {
	for _, q := range quantities {
		if q.chart == "" {
			continue
		}
		if err := q.curves(results).WriteSVGFile(filepath.Join(folder, q.chart)); err != nil {
			return err
		}
	}
	return nil
}

// curves returns a chart of the medians of each library over the number of entries.
func (q *quantity) curves(results []result) *report.Chart {
	c := &report.Chart{Title: q.name, Unit: "bytes", Quantity: report.Bytes, Caption: q.caption,
		XLabel: "entries (logarithmic)", XLog: true}
	scale := 1.0
	if q.seconds { // numbers of one unit, since a label of minutes has no room
		c.Unit, c.Quantity, c.Log, scale = q.unit, report.Number, true, perSecond[q.unit]
	}
	for _, name := range librariesOf(results) {
		line := report.Line{Series: series.Series{Name: name}, Bold: name == ours}
		for _, entries := range sizesOf(results) {
			var all []float64
			for _, v := range q.values(results, name, entries) {
				all = append(all, v)
			}
			line.Points = append(line.Points, series.Point{T: float64(entries), V: scale * cli.Median(all)})
		}
		c.Lines = append(c.Lines, line)
	}
	return c
}
