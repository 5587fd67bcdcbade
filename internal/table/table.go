package table

import (
	"fmt"
	"math"
	"strings"
)

// Table is a titled grid of cells with notes below it.
type Table struct {
	Title   string   `json:"title,omitempty"`
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
	Notes   []string `json:"notes,omitempty"`
}

// Column is the head of a column.
type Column struct {
	Title string `json:"title"`
	// Better compares the cells of the column with each other.
	Better Better `json:"better,omitempty"`
	// Highlight sets the whole column off, such as the one with the fix on.
	Highlight bool `json:"highlight,omitempty"`
}

// Row is one line of cells, as many as there are columns.
type Row struct {
	Cells []Cell `json:"cells"`
	// Better compares the cells of the row with each other, for a table whose
	// columns are runs and whose rows are measures.
	Better Better `json:"better,omitempty"`
	// Bars adds a bar to each number of the row on a page, all to one scale.
	Bars bool `json:"-"`
}

// Better says which of two numbers is the good one. The empty value makes no
// difference between them.
type Better string

// The directions of Better.
const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// Arrow returns "↑" for Higher, "↓" for Lower and "" otherwise.
func (b Better) Arrow() string {
	switch b {
	case Higher:
		return "↑"
	case Lower:
		return "↓"
	}
	return ""
}

// New makes a table with plain columns. Set fields of Columns to mark them.
func New(title string, columns ...string) *Table {
	t := &Table{Title: title}
	for _, c := range columns {
		t.Columns = append(t.Columns, Column{Title: c})
	}
	return t
}

// Add appends a row.
func (t *Table) Add(cells ...Cell) { t.AddCompared("", cells...) }

// AddCompared appends a row whose best cell is marked.
func (t *Table) AddCompared(better Better, cells ...Cell) {
	t.Rows = append(t.Rows, Row{Cells: cells, Better: better})
}

// Note appends a line below the table.
func (t *Table) Note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

// Validate returns an error that names the first row with a wrong number of
// cells, or an unknown Better.
func (t *Table) Validate() error {
	for _, c := range t.Columns {
		if err := c.Better.validate(); err != nil {
			return fmt.Errorf("table %q, column %q: %w", t.Title, c.Title, err)
		}
	}
	for i, r := range t.Rows {
		if len(r.Cells) != len(t.Columns) {
			return fmt.Errorf("table %q, row %d: %d cells for %d columns", t.Title, i+1, len(r.Cells),
				len(t.Columns))
		}
		if err := r.Better.validate(); err != nil {
			return fmt.Errorf("table %q, row %d: %w", t.Title, i+1, err)
		}
	}
	return nil
}

// Best reports whether the cell is the best of its row or column. Where all
// that can be compared are equal, none is. Indexes are from 0.
func (t *Table) Best(row, column int) bool {
	if row < 0 || row >= len(t.Rows) || column < 0 || column >= len(t.Rows[row].Cells) {
		return false
	}
	r := t.Rows[row]
	if best(r.Better, r.Cells[column], r.Cells) {
		return true
	}
	if column >= len(t.Columns) || t.Columns[column].Better == "" {
		return false
	}
	var cells []Cell
	for _, other := range t.Rows {
		if column < len(other.Cells) {
			cells = append(cells, other.Cells[column])
		}
	}
	return best(t.Columns[column].Better, r.Cells[column], cells)
}

// Bar returns how long the bar of a cell is, as a part of the longest in its row,
// and 0 where there is none.
func (t *Table) Bar(row, column int) float64 {
	r := t.Rows[row]
	if !r.Bars || !r.Cells[column].IsNumber() {
		return 0
	}
	longest := 0.0
	for _, c := range r.Cells {
		longest = max(longest, c.value)
	}
	return r.Cells[column].value / max(longest, math.SmallestNonzeroFloat64)
}

// Numeric reports whether a column holds a number, and so is right-aligned.
func (t *Table) Numeric(column int) bool {
	for _, r := range t.Rows {
		if column < len(r.Cells) && r.Cells[column].IsNumber() {
			return true
		}
	}
	return false
}

// Keys returns how many columns name a row: 2 if the first has the same text twice and, with the
// second, does not; otherwise 1.
func (t *Table) Keys() int {
	names := make([]string, len(t.Rows))
	for k := range min(2, len(t.Columns)) {
		if t.Numeric(k) {
			break
		}
		seen := make(map[string]bool)
		for i, r := range t.Rows {
			if k < len(r.Cells) {
				names[i] += "\x00" + r.Cells[k].text
			}
			seen[names[i]] = true
		}
		if len(seen) == len(t.Rows) {
			return k + 1
		}
	}
	return 1
}

func (b Better) validate() error {
	if b != "" && b != Higher && b != Lower {
		return fmt.Errorf("better: %q is neither %q nor %q", string(b), Higher, Lower)
	}
	return nil
}

func best(better Better, cell Cell, among []Cell) bool {
	if better == "" || !cell.IsNumber() {
		return false
	}
	differs := false
	for _, other := range among {
		if !other.IsNumber() || other.unit != cell.unit {
			continue
		}
		d := cell.value - other.value
		if better == Lower {
			d = -d
		}
		if d < 0 {
			return false
		}
		// What reads the same is not better.
		if d > 0 && other.text != cell.text {
			differs = true
		}
	}
	return differs
}

// heading is the text of a column's head or of a row's first cell with the
// arrow that tells which way is good.
func heading(text string, b Better) string {
	return strings.TrimSpace(text + " " + b.Arrow())
}
