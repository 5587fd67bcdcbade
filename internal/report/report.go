package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"

	"github.com/snowfence/snowfence/internal/atomicfile"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// Report is all that a page shows. Every text is escaped; none is taken as
// HTML. It is plain data, and marshals to JSON with the numbers in full.
type Report struct {
	Title string `json:"title"`
	// Finding is the result in a few sentences. The page begins with it.
	Finding string `json:"finding,omitempty"`
	// Summary says what was run, to a reader who knows nothing of the tool.
	Summary string `json:"summary"`
	// Command is the exact command line, quoted so that it can be pasted.
	Command string `json:"command"`
	// Seed is nil where nothing in the run was random.
	Seed *uint64 `json:"seed,omitempty"`
	// Scenario is the full text of the scenario after all flags; empty if the
	// run had none.
	Scenario    string         `json:"scenario,omitempty"`
	Environment Environment    `json:"environment"`
	Checks      []Check        `json:"checks,omitempty"`
	Tables      []*table.Table `json:"tables,omitempty"`
	// Glossary says what rows, columns and lines mean: pairs of a name and its meaning.
	Glossary [][2]string `json:"glossary,omitempty"`
	// Charts begins with the one that tells the story on its own: it comes before the tables.
	Charts []*Chart `json:"charts,omitempty"`
}

// Check is an expectation and whether it held.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // what was seen, and what was expected
}

// Passed reports whether every check held.
func (r *Report) Passed() bool { return len(r.Failed()) == 0 }

// Failed returns the checks that did not hold.
func (r *Report) Failed() []Check {
	return slices.DeleteFunc(slices.Clone(r.Checks), func(c Check) bool { return c.OK })
}

// Verdict counts the checks that held.
func (r *Report) Verdict() string {
	return fmt.Sprintf("%d of %d checks hold", len(r.Checks)-len(r.Failed()), len(r.Checks))
}

// ChecksTable shows checks in a terminal or a Markdown page.
func ChecksTable(checks []Check) *table.Table {
	t := table.New("Checks", "result", "check", "seen")
	for _, c := range checks {
		t.Add(table.Text(verdict(c.OK)), table.Text(c.Name), table.Text(c.Detail))
	}
	return t
}

// WriteHTML writes the page. An invalid table is an error before anything is
// written; otherwise the error is that of w.
func (r *Report) WriteHTML(w io.Writer) error {
	for _, t := range r.Tables {
		if err := t.Validate(); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, view{r, r.figures()}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// WriteHTMLFile is WriteHTML into a file, which is replaced whole or not at
// all. It makes the folder if need be; the error names the file.
func (r *Report) WriteHTMLFile(path string) error { return atomicfile.Write(path, r.WriteHTML) }

// WriteCSVFile writes the series of all charts side by side. A column is called
// "chart title: line name" where there is more than one chart.
func (r *Report) WriteCSVFile(path string) error {
	var all []series.Series
	for _, c := range r.Charts {
		for _, l := range c.Lines {
			s := l.Series
			if len(r.Charts) > 1 {
				s.Name = c.Title + ": " + l.Name
			}
			all = append(all, s)
		}
	}
	return series.WriteCSVFile(path, all...)
}

// figures draws the charts, those over time with one time axis.
func (r *Report) figures() []figure {
	from, to := 0.0, math.Inf(-1) // time begins with the run
	for _, c := range r.Charts {
		if c.XLabel != "" {
			continue
		}
		a, b := c.span()
		from, to = min(from, a), max(to, b)
	}
	figures := make([]figure, len(r.Charts))
	for i, c := range r.Charts {
		shared := *c
		if c.XLabel == "" && shared.XRange == ([2]float64{}) && to > from {
			shared.XRange = [2]float64{from, to}
		}
		figures[i] = shared.figure(i)
	}
	return figures
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// view is a report as the page's template sees it.
type view struct {
	*Report
	Figures []figure
}

// Readings are the values of all charts, for the script.
func (v view) Readings() [][]reading {
	all := make([][]reading, len(v.Figures))
	for i := range v.Figures {
		all[i] = v.Figures[i].readings
	}
	return all
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	//nolint:gosec // these are our own files
	"css": func() template.CSS { return template.CSS(pageCSS + chartCSS) },
	//nolint:gosec // as above
	"js":      func() template.JS { return template.JS(pageJS) },
	"verdict": verdict,
	"whole":   func(c table.Cell) string { return table.Whole(c.String()) },
	"words": func(b table.Better) string {
		if b == "" {
			return ""
		}
		return string(b) + " is better"
	},
}).Parse(pageHTML))

func verdict(ok bool) string {
	if ok {
		return "pass"
	}
	return "FAIL"
}
