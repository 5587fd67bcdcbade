package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// ours is the library with whose processor time that of the others is compared.
const ours = "snowfence"

// A measure has a table, with a row for each library and a column for each rate.
type measure struct {
	title string
	cell  func(r *result, library string, rate float64) table.Cell
}

var measures = []measure{
	{"median", median(p50, table.Seconds)},
	{"99th percentile", median(p99, table.Seconds)},
	{"99th, all rounds", extremes(p99)},
	{"99.9th percentile", median(p999, table.Seconds)},
	{"99.9th, all rounds", extremes(p999)},
	{"errors", median(failures, table.Percent)},
	{"answered with 200", median(answered, table.Rate)},
	{"CPU per request", median(cpu, table.Seconds)},
	{"times " + ours + "'s", multiple},
	{"queries per request", median(queries, table.Number)},
	{"live heap", median(heap, table.Bytes)},
	{"peak resident set", median(rss, table.Bytes)},
	{"sent late", median(late, table.Seconds)},
}

// median returns a function that shows the median of a number.
func median(of number, show func(float64) table.Cell) func(*result, string, float64) table.Cell {
	return func(r *result, library string, rate float64) table.Cell {
		return show(float64(r.spread(library, rate, of).median))
	}
}

// extremes returns a function that shows the lowest and the highest of a time.
func extremes(of number) func(*result, string, float64) table.Cell {
	return func(r *result, library string, rate float64) table.Cell {
		s := r.spread(library, rate, of)
		return table.Text(human.Seconds(float64(s.low)) + " to " + human.Seconds(float64(s.high)))
	}
}

// multiple shows the processor time as a multiple of ours in the same rounds.
func multiple(r *result, library string, rate float64) table.Cell {
	x := r.against(library, ours, rate, cpu).median
	if !x.Exists() {
		return table.Missing()
	}
	return table.Number(float64(x)).As(fmt.Sprintf("%.2f", float64(x)))
}

func (r *result) tables() []*table.Table {
	tables := make([]*table.Table, len(measures))
	for i, m := range measures {
		t := table.New("", m.title)
		for _, rate := range r.Rates {
			t.Columns = append(t.Columns, table.Column{Title: human.Rate(rate)})
		}
		for _, library := range r.Libraries {
			cells := []table.Cell{table.Text(library)}
			for _, rate := range r.Rates {
				cells = append(cells, r.cell(m, library, rate))
			}
			t.Add(cells...)
		}
		tables[i] = t
	}
	r.explain(tables[len(tables)-1])
	return tables
}

// cell marks the cells of a library that does not keep up with the rate. It shows no number if
// half of the rounds or more ended below the rate: the others were the lucky ones.
func (r *result) cell(m measure, library string, rate float64) table.Cell {
	if 2*len(r.of(library, rate)) <= r.rounds() {
		return table.Text("†")
	}
	c := m.cell(r, library, rate)
	if !r.keepsUp(library, rate) {
		return c.As(c.String() + " †")
	}
	return c
}

func (r *result) explain(t *table.Table) {
	if r.rounds() > 1 {
		t.Note("Medians of %d rounds. Of \"all rounds\", the lowest and the highest.", r.rounds())
	}
	t.Note("CPU per request: processor time of the server. Below it, the median multiple of %s's in "+
		"the same rounds.", ours)
	t.Note("†: in half of the rounds or more the service answered less than 95 %% of the requests " +
		"in time, or its 99th percentile was above a second. It gets no higher rate in such a round, " +
		"and has no number if half of the rounds ended before.")
	t.Note("Sent late: the time from when a request was due until it was sent, 99th percentile. It " +
		"is a part of the latencies. Where it is as long, they say nothing of the service.")
}

// writeCharts writes the charts into a folder.
func (r *result) writeCharts(folder string) error {
	c := r.chart("A whole service: 99th percentile", p99)
	if err := c.WriteSVGFile(filepath.Join(folder, "service-p99.svg")); err != nil {
		return err
	}
	c = r.chart("A whole service: 99.9th percentile", p999)
	return c.WriteSVGFile(filepath.Join(folder, "service-p99.9.svg"))
}

// chart returns the medians of a latency over the rate, as far as each library keeps up.
func (r *result) chart(title string, of number) *report.Chart {
	c := &report.Chart{
		Title:    title,
		Unit:     "latency",
		Quantity: report.Seconds,
		Log:      true,
		XLabel:   "requests per second (logarithmic)",
		XLog:     true,
		Tall:     true,
	}
	for _, library := range r.Libraries {
		l := report.Line{
			Series: series.Series{Name: library}, Bold: strings.HasPrefix(library, ours),
		}
		for _, rate := range r.Rates {
			v := float64(r.spread(library, rate, of).median)
			if !math.IsNaN(v) && r.keepsUp(library, rate) {
				l.Points = append(l.Points, series.Point{T: rate, V: v})
			}
		}
		if len(l.Points) > 0 {
			c.Lines = append(c.Lines, l)
		}
	}
	return c
}
