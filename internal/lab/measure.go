package lab

import (
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// A Measure is a row of a table with a column for each run.
type Measure[R any] struct {
	Name    string
	Better  table.Better
	Of      func(R) table.Cell
	Meaning string // for the help and the report

	Optional bool // the row is omitted if no run has a value
}

// Compare adds a row for each measure to a table, with a cell for each of the runs.
func Compare[R any](t *table.Table, runs []R, measures []Measure[R]) {
	for _, m := range measures {
		cells, missing := []table.Cell{table.Text(m.Name)}, true
		for _, r := range runs {
			c := m.Of(r)
			missing = missing && c == table.Missing()
			cells = append(cells, c)
		}
		if m.Optional && missing {
			continue
		}
		better := m.Better
		if len(runs) < 2 {
			better = "" // nothing to compare with
		}
		t.AddCompared(better, cells...)
	}
}

// Glossary returns the meanings of measures.
func Glossary[R any](measures []Measure[R]) []Term {
	var terms []Term
	for _, m := range measures {
		terms = append(terms, Term{m.Name, m.Meaning})
	}
	return terms
}

// SeriesOf returns the series called name, renamed to label; it is empty if there is none.
func SeriesOf(all []series.Series, name, label string) series.Series {
	for _, s := range all {
		if s.Name == name {
			s.Name = label
			return s
		}
	}
	return series.Series{Name: label}
}

// WithEvents returns the first chart, and of the others those with a value other than 0.
func WithEvents(charts []*report.Chart) []*report.Chart {
	var kept []*report.Chart
	for i, c := range charts {
		if low, high := Extent(c); i == 0 || low != 0 || high != 0 {
			kept = append(kept, c)
		}
	}
	return kept
}

// Extent returns the lowest and the highest value of a chart, 0 if it has none.
func Extent(c *report.Chart) (low, high float64) {
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
