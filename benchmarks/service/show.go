package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// ours is the library with whose processor time that of the others is compared.
const ours = "snowfence"

// tables returns a table for each rate.
func (r *result) tables() []*table.Table {
	var tables []*table.Table
	for _, rate := range r.Rates {
		if t := r.table(rate); len(t.Rows) > 0 {
			tables = append(tables, t)
		}
	}
	if len(tables) > 0 {
		r.explain(tables[len(tables)-1])
	}
	return tables
}

func (r *result) table(rate float64) *table.Table {
	t := table.New(human.Rate(rate), "library", "answered", "p50", "p99", "p99.9", "errors",
		"CPU/request", "queries", "live heap", "peak RSS")
	for _, library := range r.Libraries {
		if len(r.of(library, rate)) == 0 {
			continue
		}
		get := func(of number) float64 { return float64(r.spread(library, rate, of).median) }
		name := library
		if !r.keepsUp(library, rate) {
			name += " †"
		}
		t.Add(table.Text(name), table.Rate(get(answered)), table.Seconds(get(p50)),
			r.percentile(library, rate), table.Seconds(get(p999)), table.Percent(get(failures)),
			r.cpu(library, rate), table.Number(get(queries)), table.Bytes(get(heap)),
			table.Bytes(get(rss)))
	}
	return t
}

// percentile shows the 99th percentile with its extremes.
func (r *result) percentile(library string, rate float64) table.Cell {
	s := r.spread(library, rate, p99)
	c := table.Seconds(float64(s.median))
	if r.rounds() < 2 {
		return c
	}
	return c.As(fmt.Sprintf("%s (%s–%s)", human.Seconds(float64(s.median)),
		human.Seconds(float64(s.low)), human.Seconds(float64(s.high))))
}

// cpu shows the processor time of a request, and as a multiple of ours.
func (r *result) cpu(library string, rate float64) table.Cell {
	median := float64(r.spread(library, rate, cpu).median)
	c := table.Seconds(median)
	if x := r.against(library, ours, rate, cpu).median; library != ours && x.Exists() {
		return c.As(fmt.Sprintf("%s ×%.2f", human.Seconds(median), float64(x)))
	}
	return c
}

func (r *result) explain(t *table.Table) {
	if r.rounds() > 1 {
		t.Note("Medians of %d rounds; of p99, the lowest and the highest, too.", r.rounds())
	}
	t.Note("answered: with the status 200, a second. errors: other answers, and none. queries: for " +
		"each request.")
	t.Note("CPU/request: of the server, and the median multiple of %s's in the same rounds.", ours)
	for _, library := range r.Libraries {
		i := slices.IndexFunc(r.Rates, func(rate float64) bool { return !r.keepsUp(library, rate) })
		if i >= 0 {
			t.Note("†: it answers less than 95 %% of the requests, or its p99 is above a second, in half " +
				"of the rounds or more. It gets no higher rate in such a round.")
			break
		}
	}
	var worst measured.Value
	for i := range r.Cells {
		if c := &r.Cells[i]; !c.Saturated {
			worst = max(worst, late(c))
		}
	}
	t.Note("Requests were sent up to %s late (the worst p99 of all measurements), which counts as "+
		"latency.", human.Seconds(float64(worst)))
}

// chart returns the 99th percentiles over the rate.
func (r *result) chart() *report.Chart {
	c := &report.Chart{
		Title:    "A whole service: 99th percentile",
		Unit:     "p99",
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
			v := float64(r.spread(library, rate, p99).median)
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
