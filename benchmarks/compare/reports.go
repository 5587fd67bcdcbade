package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/atomicfile"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/table"
)

// shown are the units that have tables.
var shown = []string{
	"sec/op", "cpu-sec", "allocs/op", "p99.9-ns", "p99.9-sec", "%failed", "B/entry", "ms/gc",
	"%gc-cpu",
	"µs-pause", "B-left/entry",
}

// empty reports whether every library has 0.
func (m *measurement) empty() bool {
	for _, values := range m.by {
		if median(values) != 0 {
			return false
		}
	}
	return true
}

// title returns a description of the measurement for people.
func (m *measurement) title() string {
	bench, cores := m.bench, ""
	if at := strings.LastIndexByte(bench, '-'); at >= 0 {
		bench, cores = bench[:at], bench[at+1:]
	}
	parts := strings.Split(bench, "/")
	text := parts[0]
	if len(parts) > 1 {
		text += " (" + strings.NewReplacer("1h0m0s", "1h", "=",
			" ").Replace(strings.Join(parts[1:], ", ")) + ")"
	}
	if cores == "1" {
		return text + ", 1 core"
	}
	return text + ", " + cores + " cores"
}

// writeReports writes both files, and prints the tables.
func writeReports(dir string, r *results) error {
	tables := r.tables()
	text, err := markdown(tables)
	if err != nil {
		return err
	}
	err = atomicfile.Write(filepath.Join(dir, "compare.md"), func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
	if err != nil {
		return err
	}
	page := report.Report{
		Title: "Snowfence beside other libraries",
		Summary: "Less is better everywhere. A cell has the median of the rounds and, as a multiple of " +
			ours + " in the same rounds, the median, the best and the worst of these. Each library had " +
			"its turn in a process of its own; read the multiples, since nanoseconds are of this machine. " +
			"Bars compare the medians of a row.",
		Command:     strings.Join(append([]string{"go run ./compare"}, os.Args[1:]...), " "),
		Environment: report.CurrentEnvironment(),
		Tables:      tables,
	}
	if err := page.WriteHTMLFile(filepath.Join(dir, "compare.html")); err != nil {
		return err
	}
	style := table.StyleFor(os.Stdout)
	for _, t := range tables {
		if err := t.WriteText(os.Stdout, style); err != nil {
			return err
		}
		fmt.Println()
	}
	return nil
}

func markdown(tables []*table.Table) (string, error) {
	var parts []string
	for _, t := range tables {
		text, err := t.Markdown()
		if err != nil {
			return "", err
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "\n"), nil
}

// tables returns a table for each unit, with a row for each measurement and a column for each
// library.
func (r *results) tables() []*table.Table {
	var tables []*table.Table
	for _, unit := range shown {
		var libs []string
		var list []*measurement
		for _, m := range r.list {
			if m.unit == unit && !m.empty() {
				libs, list = append(libs, m.libs...), append(list, m)
			}
		}
		if len(list) == 0 {
			continue
		}
		order := strings.Split(allLibs, ",")
		slices.SortFunc(libs, func(a, b string) int {
			return slices.Index(order, a) - slices.Index(order, b)
		})
		libs = slices.Compact(libs)
		t := table.New("", append([]string{unitName(unit)}, libs...)...)
		for _, m := range list {
			cells := []table.Cell{table.Text(m.title())}
			for _, lib := range libs {
				cells = append(cells, m.cell(lib))
			}
			t.AddCompared(table.Lower, cells...)
			t.Rows[len(t.Rows)-1].Bars = true
		}
		tables = append(tables, t)
	}
	return tables
}

// cell returns a library's median, and the median and extremes of its ratio to ours within rounds.
func (m *measurement) cell(lib string) table.Cell {
	if len(m.by[lib]) == 0 {
		return table.Missing()
	}
	mid := median(m.by[lib])
	text := format(m.unit, mid)
	if x, ok := m.against(lib); ok && lib != ours {
		text += fmt.Sprintf(" ×%.2f (%.2f–%.2f)", x.median, x.low, x.high)
	}
	return table.Number(mid).As(text)
}
