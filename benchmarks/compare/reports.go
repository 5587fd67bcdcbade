package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/atomicfile"
	"github.com/snowfence/snowfence/internal/report"
)

// shown are the units that the tables have, and whether they are shown where all
// libraries have 0.
var shown = []string{
	"sec/op", "allocs/op", "p99.9-ns", "p99.9-sec", "%failed", "B/entry", "ms/gc", "%gc-cpu",
	"µs-pause", "B-left/entry",
}

// A section is a benchmark and its charts.
type section struct {
	Title  string
	Charts []barChart
}

// sections groups what is shown by benchmark.
func (r *results) sections() []section {
	var all []section
	for _, m := range r.list {
		if !slices.Contains(shown, m.unit) || m.empty() {
			continue
		}
		top, _, _ := strings.Cut(m.bench, "/")
		if at := strings.LastIndexByte(top, '-'); at >= 0 {
			top = top[:at]
		}
		at := slices.IndexFunc(all, func(s section) bool { return s.Title == top })
		if at < 0 {
			at = len(all)
			all = append(all, section{Title: top})
		}
		all[at].Charts = append(all[at].Charts, m.chart())
	}
	return all
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

// title is what is measured, for people.
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

// writeReports writes both files.
func writeReports(dir string, r *results) error {
	err := atomicfile.Write(filepath.Join(dir, "compare.md"), func(w io.Writer) error {
		_, err := io.WriteString(w, r.markdown())
		return err
	})
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(r.markdown()); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "compare.html"), func(w io.Writer) error {
		return page.Execute(w, map[string]any{
			"Sections": r.sections(), "Environment": report.CurrentEnvironment(), "Ours": ours,
		})
	})
}

// markdown is a table with a row per measurement and a column per library.
func (r *results) markdown() string {
	var libs []string
	for _, m := range r.list {
		for _, lib := range m.libs {
			if !slices.Contains(libs, lib) {
				libs = append(libs, lib)
			}
		}
	}
	order := strings.Split(allLibs, ",")
	slices.SortStableFunc(libs, func(a, b string) int {
		return slices.Index(order, a) - slices.Index(order, b)
	})
	var b strings.Builder
	for _, unit := range shown {
		var rows [][]string
		used := map[string]bool{}
		for _, m := range r.list {
			if m.unit != unit || m.empty() {
				continue
			}
			for lib := range m.by {
				used[lib] = true
			}
		}
		for _, m := range r.list {
			if m.unit != unit || m.empty() {
				continue
			}
			row := []string{m.title()}
			for _, lib := range libs {
				if used[lib] {
					row = append(row, m.cell(lib))
				}
			}
			rows = append(rows, row)
		}
		if len(rows) == 0 {
			continue
		}
		head := []string{unitName(unit)}
		for _, lib := range libs {
			if used[lib] {
				head = append(head, lib)
			}
		}
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
		for _, row := range rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// cell is a library's median, and the median ratio to ours of the same rounds
// with its extremes. The best is bold.
func (m *measurement) cell(lib string) string {
	values := m.by[lib]
	if len(values) == 0 {
		return ""
	}
	mid := median(values)
	text := format(m.unit, mid)
	if m.best() == lib {
		text = "**" + text + "**"
	}
	if x, ok := m.against(lib); ok && lib != ours {
		text += fmt.Sprintf(" ×%.2f (%.2f–%.2f)", x.median, x.low, x.high)
	}
	return text
}

// best is the library with the least.
func (m *measurement) best() string {
	best := ""
	for _, lib := range m.libs {
		if best == "" || median(m.by[lib]) < median(m.by[best]) {
			best = lib
		}
	}
	return best
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))
