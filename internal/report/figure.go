package report

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// A figure is a chart ready for the page.
type figure struct {
	Number               int
	Title, Unit, Caption string
	Wide                 bool
	Legend               []key
	// Drawings are the chart as it is drawn for a wide and for a narrow screen, or for both.
	Drawings []template.HTML
	Values   *table.Table
	readings []reading
}

// A key is a line's entry in the legend.
type key struct {
	Name   string
	Sample template.HTML
}

// A reading is what the script needs to show the values of a line. Each point has its place in the
// plot, in ten-thousandths from left and bottom, and both values as text.
type reading struct {
	Class  string   `json:"class"`
	Points [][4]any `json:"points"`
}

// shownPoints bounds a reading: up to three points for each.
const shownPoints = 150

func (c *Chart) figure(i int) figure {
	f := figure{Number: i, Title: c.Title, Caption: c.Caption, Wide: c.Wide, Values: c.values()}
	d := c.layOut(narrowWidth, false)
	f.Unit = d.unit()
	for _, l := range d.lines {
		f.Legend = append(f.Legend, key{l.name, safe(l.sample(1, 6))})
		f.readings = append(f.readings, d.reading(l))
	}
	if c.Wide {
		wide := c.layOut(wideWidth, false)
		f.Drawings = append(f.Drawings, safe(wide.inline(fmt.Sprintf("wide%d", i))))
	}
	f.Drawings = append(f.Drawings, safe(d.inline(fmt.Sprintf("chart%d", i))))
	return f
}

// safe marks a drawing as HTML: every text in it has been escaped by esc.
func safe(svg string) template.HTML { return template.HTML(svg) } //nolint:gosec // escaped

func (d *drawing) reading(l drawnLine) reading {
	r := reading{Class: l.class, Points: [][4]any{}}
	place := func(share float64) int { return int(math.Round(1e4 * near(share))) }
	for _, p := range series.Downsample(l.points, shownPoints) {
		if !p.Gap() {
			r.Points = append(r.Points, [4]any{place(d.x.at(p.T)), place(d.y.at(p.V)),
				human.Number(p.T), d.chart.value(p.V)})
		}
	}
	return r
}

// mostRows bounds the table of a chart's values.
const mostRows = 60

// values returns the chart as a table, with a row for each place on the x axis. If there are more
// than mostRows, a row is a stretch of the axis, and a cell has its lowest and its highest value.
func (c *Chart) values() *table.Table {
	columns := []string{cmp.Or(c.XLabel, "seconds")}
	moments := make(map[float64]bool)
	lines := make([][]series.Point, len(c.Lines))
	for i, l := range c.Lines {
		columns = append(columns, l.Name)
		lines[i] = c.inOrder(l)
		for _, p := range lines[i] {
			moments[p.T] = true
		}
	}
	t := table.New("", columns...)
	place := func(t float64) float64 { return t }
	back := place
	if c.XLog {
		place, back = math.Log10, func(f float64) float64 { return math.Pow(10, f) }
	}
	rows := slices.Sorted(maps.Keys(moments))
	row := func(t float64) float64 { return t }
	step := 0.0
	if len(rows) > mostRows {
		first, last := place(rows[0]), place(rows[len(rows)-1])
		step = max(niceStep(clamp(last)-clamp(first), mostRows-1), 1/widest)
		row = func(t float64) float64 { return math.Floor(place(t)/step + 1e-9) }
		t.Note("A row is a stretch of the x axis. Where values within it differ, it has the lowest and " +
			"the highest.")
		for i := range rows {
			rows[i] = row(rows[i])
		}
		rows = slices.Compact(rows)
	}
	spans := make([]map[float64]*series.Series, len(lines))
	for i, points := range lines {
		spans[i] = make(map[float64]*series.Series)
		for _, p := range points {
			at := row(p.T)
			if spans[i][at] == nil {
				spans[i][at] = &series.Series{}
			}
			spans[i][at].Points = append(spans[i][at].Points, p)
		}
	}
	for _, at := range rows {
		head := human.Number(at)
		if step > 0 {
			head = human.Number(back(at*step)) + " – " + human.Number(back((at+1)*step))
		}
		cells := []table.Cell{table.Text(head)}
		for _, span := range spans {
			cells = append(cells, c.cell(span[at]))
		}
		t.Add(cells...)
	}
	return t
}

// cell returns the values of a stretch of a line, which may be nil.
func (c *Chart) cell(span *series.Series) table.Cell {
	if span == nil {
		return table.Missing()
	}
	low, high, ok := span.Range()
	if !ok {
		return table.Missing()
	}
	text := c.value(low)
	if top := c.value(high); top != text {
		text += " – " + top
	}
	return table.Number(low).As(text)
}
