package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/snowfence/snowfence/internal/faultmatrix"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/verdict"
)

// A faultsOutput is what "cachebench faults" prints and writes. Its JSON is that
// of --json and of result.json.
type faultsOutput struct {
	Command  string              `json:"command"`
	Matrix   *faultmatrix.Matrix `json:"matrix"`
	Passed   bool                `json:"passed"`
	Problems []string            `json:"problems"`
	Files    []string            `json:"files,omitempty"`
}

func newFaultsOutput(command string, m *faultmatrix.Matrix) *faultsOutput {
	f := &faultsOutput{Command: command, Matrix: m, Problems: []string{}}
	for _, problem := range m.Problems() {
		f.Problems = append(f.Problems, problem.Error())
	}
	f.Passed = len(f.Problems) == 0
	return f
}

func (f *faultsOutput) writeText(w io.Writer) error {
	style := table.StyleFor(w)
	var b strings.Builder
	for _, t := range f.tables() {
		if err := t.WriteText(&b, style); err != nil {
			return err
		}
		fmt.Fprintln(&b)
	}
	if f.Passed {
		fmt.Fprintln(&b, table.Wrap(f.summary(), style.Width))
	} else {
		fmt.Fprintln(&b, "What did not hold:")
		for _, problem := range f.Problems {
			fmt.Fprintf(&b, "  %s\n", problem)
		}
	}
	if len(f.Files) > 0 {
		fmt.Fprintf(&b, "\nWritten: %s\n", strings.Join(f.Files, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFiles writes the files, the result last: it names the others.
func (f *faultsOutput) writeFiles(dir string) error {
	return writeReport(dir, &f.Files, reportFile{"report.html", f.report().WriteHTMLFile},
		resultFile(f))
}

func (f *faultsOutput) summary() string {
	return fmt.Sprintf("With the fix on the callers of all %d loads got what they should, "+
		"and every key worked again.", len(f.Matrix.Rows))
}

func (f *faultsOutput) tables() []*table.Table {
	return []*table.Table{f.callers(), f.stale(), f.afterwards()}
}

// callers is the matrix itself.
func (f *faultsOutput) callers() *table.Table {
	m := f.Matrix
	t := table.New(fmt.Sprintf("What %s callers of one load saw, and how long after the fault they "+
		"knew", human.Count(int64(m.Callers))),
		"fault", "fix off", "median", "max", "fix on", "median", "max")
	highlight(t, 4)
	for _, row := range m.Rows {
		cells := []table.Cell{table.Text(row.Fault)}
		for _, c := range []*faultmatrix.Cell{row.Off, row.On} {
			cells = append(cells, table.Text(saw(c)), table.Duration(c.Median.Duration()),
				table.Duration(c.Max.Duration()))
		}
		t.Add(cells...)
	}
	t.Note("The callers' own deadline is %s; with the fix on, the flight's time-out in hang and "+
		"slow is %s.",
		human.Duration(m.Timeout.Duration()), human.Duration(m.FetchTimeout.Duration()))
	t.Note("Where callers keep coming the courier has its options as they come, and times count " +
		"from each call.")
	for _, row := range m.Rows {
		if longer := row.On.FetchTimeout.Duration(); longer > m.FetchTimeout.Duration() {
			t.Note("Of %s it is %s, since the callers did not come together within less.",
				row.Fault, human.Duration(longer))
		}
	}
	return t
}

// stale is what callers got who could have a stale value.
func (f *faultsOutput) stale() *table.Table {
	m := f.Matrix
	t := table.New("The same with the fix on and a stale value there",
		"fault", "stale value there", "median", "max", "next caller", "fresh after", "loads")
	highlight(t, 1)
	for _, row := range m.Rows {
		c := row.Stale
		again := table.Missing()
		if c.FreshAfter != nil {
			again = table.Duration(c.FreshAfter.Duration())
		}
		t.Add(table.Text(row.Fault), table.Text(saw(c)),
			table.Duration(c.Median.Duration()), table.Duration(c.Max.Duration()),
			table.Text(saw1(c.Next)), again, table.Count(int64(c.Loads)))
	}
	t.Note("In hang, slow and where callers keep coming, the soft time-out is %s; "+
		"elsewhere callers wait until the load ends.", human.Duration(m.SoftTimeout.Duration()))
	for _, row := range m.Rows {
		if longer := row.Stale.SoftTimeout.Duration(); longer > m.SoftTimeout.Duration() {
			t.Note("Of %s it is %s, since the callers did not come together within less.",
				row.Fault, human.Duration(longer))
		}
	}
	return t
}

// afterwards is what came after.
func (f *faultsOutput) afterwards() *table.Table {
	t := table.New("Afterwards: one more caller, whose fetch function works", "fault", "fix off",
		"took", "loads", "fix on", "took", "loads")
	highlight(t, 4)
	for _, row := range f.Matrix.Rows {
		cells := []table.Cell{table.Text(row.Fault)}
		for _, c := range []*faultmatrix.Cell{row.Off, row.On} {
			cells = append(cells, table.Text(saw1(c.Next)), table.Duration(c.Next.Took.Duration()),
				table.Count(int64(c.Loads)))
		}
		t.Add(cells...)
	}
	t.Note("Loads: fetch functions called in all, for the callers above and this one.")
	return t
}

func highlight(t *table.Table, from int) {
	for i := from; i < len(t.Columns); i++ {
		t.Columns[i].Highlight = true
	}
}

func saw(c *faultmatrix.Cell) string {
	var parts []string
	for _, seen := range c.Saw {
		parts = append(parts, human.Count(int64(seen.Count))+" "+kindText(seen.Kind))
	}
	return strings.Join(parts, ", ")
}

func saw1(n faultmatrix.Next) string {
	if n.Value != "" {
		return n.Value
	}
	return kindText(n.Kind)
}

func kindText(k verdict.Kind) string {
	if k == verdict.Deadline {
		return "own deadline"
	}
	return string(k)
}

// report is the result as a page.
func (f *faultsOutput) report() *report.Report {
	m := f.Matrix
	what := table.New("The faults", "fault", "what happens")
	for _, row := range m.Rows {
		what.Add(table.Text(row.Fault), table.Text(row.What))
	}
	check := report.Check{
		Name: "Fix on: a value or an error in every cell, " +
			"the stale value instead of an error where there is one, and no goroutine left",
		OK: f.Passed, Detail: f.summary(),
	}
	if !f.Passed {
		check.Detail = strings.Join(f.Problems, "; ")
	}
	finding := ""
	if f.Passed {
		finding = f.summary()
	}
	return &report.Report{
		Title:   "Faults: what a load that goes wrong does to its callers",
		Finding: finding,
		Summary: fmt.Sprintf("%s callers wait for one load, which then goes wrong in every known way, "+
			"with the courier's fix off and on, and with a stale value there. "+
			"\"Own deadline\" means that nobody told the caller anything: in a service it would have held "+
			"a worker until then.", human.Count(int64(m.Callers))),
		Command:     f.Command,
		Environment: report.CurrentEnvironment(),
		Checks:      []report.Check{check},
		Tables:      append(f.tables(), what),
	}
}
