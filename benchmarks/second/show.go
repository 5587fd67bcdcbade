package main

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/table"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// A quantity is a row of the tables.
type quantity struct {
	name string
	of   func(*result) float64 // less is better; NaN: not measured
	show func(float64) string
}

var quantities = []quantity{
	{"hits in the process", func(r *result) float64 { return r.Hit.Time }, rate},
	{"– CPU of a hit", func(r *result) float64 { return r.Hit.CPU }, human.Seconds},
	{"reads from the server", func(r *result) float64 { return r.Second.Time }, rate},
	{"– p99", func(r *result) float64 { return r.Second.P99 }, human.Seconds},
	{"– CPU of a read", func(r *result) float64 { return r.Second.CPU }, human.Seconds},
	{"– CPU of the server", func(r *result) float64 { return r.Second.ServerCPU }, human.Seconds},
	{"keys in batches of 50", batch(func(m *measured) float64 { return m.Time }), rate},
	{"– p99 of a batch", batch(func(m *measured) float64 { return m.P99 }), human.Seconds},
	{"– CPU of a key", batch(func(m *measured) float64 { return m.CPU }), human.Seconds},
	{"loads, written to the server", func(r *result) float64 { return r.Load.Time }, rate},
	{"– p99", func(r *result) float64 { return r.Load.P99 }, human.Seconds},
	{"– CPU of a load", func(r *result) float64 { return r.Load.CPU }, human.Seconds},
	{
		"– CPU of the server", func(r *result) float64 { return r.Load.ServerCPU },
		human.Seconds,
	},
	{"a herd of 100, 1 cache: loads", func(r *result) float64 { return r.Herd.Loads },
		human.Number},
	{"– time until all have it", func(r *result) float64 { return r.Herd.Time }, human.Seconds},
	{"a herd of 100, 4 caches: loads", func(r *result) float64 { return r.SharedHerd.Loads },
		human.Number},
	{
		"– time until all have it", func(r *result) float64 { return r.SharedHerd.Time },
		human.Seconds,
	},
}

// batch returns a quantity of batches.
func batch(of func(*measured) float64) func(*result) float64 {
	return func(r *result) float64 {
		if r.Batch == nil {
			return math.NaN()
		}
		return of(r.Batch)
	}
}

// rate shows a time as the operations in a second.
func rate(seconds float64) string { return human.Rate(1 / seconds) }

// values returns a library's values by round.
func (q *quantity) values(results []result, library string) map[int]float64 {
	byRound := make(map[int]float64)
	for i := range results {
		if r := &results[i]; r.Library == library && !math.IsNaN(q.of(r)) {
			byRound[r.Round] = q.of(r)
		}
	}
	return byRound
}

// median returns a library's median.
func (q *quantity) median(results []result, library string) table.Cell {
	var all []float64
	for _, v := range q.values(results, library) {
		all = append(all, v)
	}
	if len(all) == 0 {
		return table.Missing()
	}
	mid := cli.Median(all)
	return table.Number(mid).As(q.show(mid))
}

// ratio returns the median and the range of a library's ratios to ours within rounds.
func (q *quantity) ratio(results []result, library string) table.Cell {
	base := q.values(results, ours)
	var all []float64
	for round, v := range q.values(results, library) {
		if b := base[round]; b > 0 {
			all = append(all, v/b)
		}
	}
	if len(all) == 0 {
		return table.Missing()
	}
	text := func(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }
	return table.Text(text(cli.Median(all)) +
		" (" + text(slices.Min(all)) + "–" + text(slices.Max(all)) + ")")
}

// tables returns the medians, and the ratios of others to ours.
func tables(results []result) []*table.Table {
	var names []string
	for _, l := range libraries {
		if slices.ContainsFunc(results, func(r result) bool { return r.Library == l.name }) {
			names = append(names, l.name)
		}
	}
	others := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == ours })
	medians := table.New("", append([]string{"median"}, names...)...)
	ratios := table.New("", append([]string{"time or cost, times " + ours + "'s"}, others...)...)
	for i := range quantities {
		q := &quantities[i]
		cells := []table.Cell{table.Text(q.name)}
		for _, name := range names {
			cells = append(cells, q.median(results, name))
		}
		medians.Add(cells...)
		cells = []table.Cell{table.Text(q.name)}
		for _, name := range others {
			cells = append(cells, q.ratio(results, name))
		}
		ratios.Add(cells...)
	}
	medians.Note("%s", reloaded(results, names))
	if len(others) < len(names) && len(others) > 0 {
		return []*table.Table{medians, ratios}
	}
	return []*table.Table{medians}
}

// reloaded says how many keys were loaded again although the server had them.
func reloaded(results []result, names []string) string {
	counts := make([]string, len(names))
	for i, name := range names {
		n := 0.0
		for j := range results {
			if r := &results[j]; r.Library == name {
				n += r.Second.Origin + r.Hit.Origin
				if r.Batch != nil {
					n += r.Batch.Origin
				}
			}
		}
		counts[i] = name + " " + human.Count(int(n))
	}
	return "Keys that the origin was asked for while the server had them, in all rounds: " +
		strings.Join(counts, ", ") + "."
}
