package scale

import (
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// A Plan holds the sizes of the simulation.
type Plan struct {
	Nodes   []int // of the simulated clusters
	Names   int   // of the whole simulated registry
	Changes int   // that are followed
	Rate    int   // of them a second
	Rack    int   // nodes that go and come back; a tenth of smaller clusters at most
	Seed    uint64
}

// DefaultPlan takes some minutes and 3 GiB.
var DefaultPlan = Plan{
	Nodes:   []int{16, 32, 33, 100, 300, 1000},
	Names:   100_000,
	Changes: 100,
	Rate:    10,
	Rack:    50,
	Seed:    1,
}

// A Result holds the measurements of a cluster.
type Result struct {
	Nodes   int
	Idle    float64
	Changes Changes
	Join    Move
	Rack    Move
	Away    int // nodes of the rack
}

// Simulate runs the plan's clusters and reports each as soon as it is done.
func (p Plan) Simulate(told func(*Result)) ([]Result, error) {
	var all []Result
	for _, n := range p.Nodes {
		w := New(n, p.Names/Partitions, p.Seed)
		r := Result{Nodes: n, Idle: w.Idle(20 * time.Second), Away: min(p.Rack, max(1, n/10))}
		var err error
		if r.Changes, err = w.Change(p.Changes, p.Rate); err != nil {
			return nil, err
		}
		if r.Join, err = w.Join(); err != nil {
			return nil, err
		}
		if r.Rack, err = w.Rack(r.Away, 30*time.Second); err != nil {
			return nil, err
		}
		all = append(all, r)
		told(&r)
	}
	return all, nil
}

// Tables writes the results: first the simulated ones, then the computed ones.
func (m Model) Tables(results []Result, sizes [][2]int) []*table.Table {
	seen := table.New("Simulated: the real core on each node", "")
	said := table.New("Computed: from sizes on the wire, and measured heap", "")
	rows := []struct {
		what string
		cell func(*Result) table.Cell
	}{
		{
			"digests while nothing happens, a second and node",
			func(r *Result) table.Cell { return table.Bytes(r.Idle) },
		},
		{
			"a change: a node sends, on average",
			func(r *Result) table.Cell { return table.Bytes(r.Changes.Bytes) },
		},
		{
			"a change: until all nodes show it, median",
			func(r *Result) table.Cell { return table.Duration(r.Changes.Median) },
		},
		{
			"a change: the slowest",
			func(r *Result) table.Cell { return table.Duration(r.Changes.Slowest) },
		},
		{
			"changes that waited for a digest",
			func(r *Result) table.Cell {
				return table.Text(fmt.Sprintf("%d of %d", r.Changes.Late, r.Changes.Of))
			},
		},
		{
			"join: the newcomer gets vectors of",
			func(r *Result) table.Cell { return table.Bytes(Partitions * r.Join.Vectors) },
		},
		{
			"join: and names of",
			func(r *Result) table.Cell { return table.Bytes(Partitions * r.Join.Names) },
		},
		{"rack back: nodes", func(r *Result) table.Cell { return table.Number(float64(r.Away)) }},
		{
			"rack back: each of them gets vectors of",
			func(r *Result) table.Cell { return table.Bytes(Partitions * r.Rack.Vectors) },
		},
		{
			"rack back: and names of",
			func(r *Result) table.Cell { return table.Bytes(Partitions * r.Rack.Names) },
		},
		{
			"rack back: each of the others sends",
			func(r *Result) table.Cell { return table.Bytes(Partitions * r.Rack.Other) },
		},
		{
			"rack back: until all nodes show all",
			func(r *Result) table.Cell { return table.Duration(r.Rack.Took) },
		},
	}
	for i := range results {
		seen.Columns = append(
			seen.Columns,
			table.Column{Title: fmt.Sprintf("%d nodes", results[i].Nodes)},
		)
	}
	for _, row := range rows {
		cells := []table.Cell{table.Text(row.what)}
		for i := range results {
			cells = append(cells, row.cell(&results[i]))
		}
		seen.Add(cells...)
	}
	computed := []struct {
		what string
		cell func(nodes, names int) table.Cell
	}{
		{
			"heap of a node",
			func(nodes, names int) table.Cell { return table.Bytes(m.Memory(nodes, names, Partitions)) },
		},
		{
			"heap of a node with 4096 partitions",
			func(nodes, names int) table.Cell { return table.Bytes(m.Memory(nodes, names, 4096)) },
		},
		{"join: names", func(_, names int) table.Cell { return table.Bytes(m.JoinNames(names)) }},
		{
			"join: vectors",
			func(nodes, _ int) table.Cell { return table.Bytes(m.JoinVectors(nodes, Partitions)) },
		},
		{"join: all of it, at 1 Gbit/s", func(nodes, names int) table.Cell {
			bytes := m.JoinNames(names) + m.JoinVectors(nodes, Partitions)
			return table.Duration(time.Duration(bytes * 8)) // a bit in a nanosecond
		}},
		{
			"a change: a node sends",
			func(nodes, _ int) table.Cell { return table.Bytes(m.Change(nodes)) },
		},
		{"changes a second that gossip carries", func(nodes, _ int) table.Cell {
			if nodes <= gossipAbove {
				return table.Missing()
			}
			return table.Number(math.Floor(m.GossipLimit(nodes)))
		}},
	}
	for _, s := range sizes {
		said.Columns = append(
			said.Columns,
			table.Column{Title: fmt.Sprintf("%d nodes, %d names", s[0], s[1])},
		)
	}
	for _, row := range computed {
		cells := []table.Cell{table.Text(row.what)}
		for _, s := range sizes {
			cells = append(cells, row.cell(s[0], s[1]))
		}
		said.Add(cells...)
	}
	return []*table.Table{seen, said}
}

// drawnNodes holds the sizes at which the computed curves have points.
var drawnNodes = []int{
	2, 3, 5, 8, 12, 16, 24, 32, 33, 48, 64, 99, 100, 150, 200, 300, 500, 700, 999, 1000, 1500, 2000,
	3000,
}

// Charts draws the curves. Simulated values are points on lines of their own.
func (m Model) Charts(results []Result) map[string]*report.Chart {
	computed := func(name string, f func(nodes int) float64) report.Line {
		l := report.Line{Series: series.Series{Name: name}}
		for _, n := range drawnNodes {
			l.Points = append(l.Points, series.Point{T: float64(n), V: f(n)})
		}
		return l
	}
	simulated := func(name string, f func(*Result) float64) report.Line {
		l := report.Line{Series: series.Series{Name: name}, Bold: true}
		for i := range results {
			l.Points = append(
				l.Points,
				series.Point{T: float64(results[i].Nodes), V: f(&results[i])},
			)
		}
		return l
	}
	chart := func(title, unit string, lines ...report.Line) *report.Chart {
		return &report.Chart{
			Title:  title,
			Unit:   unit,
			XLabel: "nodes",
			XLog:   true,
			Log:    true,
			Wide:   true,
			Lines:  lines,
		}
	}
	const mega = 1e6
	return map[string]*report.Chart{
		"scale-change.svg": chart(
			"What a node sends for one change anywhere in the cluster",
			"bytes",
			computed("computed", m.Change),
			simulated("simulated", func(r *Result) float64 { return r.Changes.Bytes }),
		),
		"scale-join.svg": chart(
			"What a node that joins gets, with 16 partitions",
			"MB",
			computed(
				"10,000,000 names (computed)",
				func(int) float64 { return m.JoinNames(10_000_000) / mega },
			),
			computed(
				"100,000 names (computed)",
				func(int) float64 { return m.JoinNames(100_000) / mega },
			),
			computed(
				"vectors (computed)",
				func(n int) float64 { return m.JoinVectors(n, Partitions) / mega },
			),
			simulated(
				"vectors (simulated)",
				func(r *Result) float64 { return Partitions * r.Join.Vectors / mega },
			),
		),
		"scale-memory.svg": chart(
			"Heap of a node's tables (computed)",
			"MB",
			computed(
				"10,000,000 names, 16 partitions",
				func(n int) float64 { return m.Memory(n, 10_000_000, 16) / mega },
			),
			computed(
				"100,000 names, 16 partitions",
				func(n int) float64 { return m.Memory(n, 100_000, 16) / mega },
			),
			computed(
				"100,000 names, 4,096 partitions",
				func(n int) float64 { return m.Memory(n, 100_000, 4096) / mega },
			),
		),
	}
}

// Draw writes the charts into a folder.
func Draw(charts map[string]*report.Chart, dir string) error {
	for name, c := range charts {
		if err := c.WriteSVGFile(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("scale: %w", err)
		}
	}
	return nil
}
