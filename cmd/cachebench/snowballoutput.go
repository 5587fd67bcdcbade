package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/experiment/snowball"
	"github.com/snowfence/snowfence/internal/table"
)

// A snowballOutput is what "cachebench snowball" prints and writes. Its JSON is
// that of --json and of result.json.
type snowballOutput struct {
	Command string `json:"command"`
	*snowball.Result
	Scenario    string             `json:"scenario"`
	Environment report.Environment `json:"environment"`
	Finding     string             `json:"finding"`
	Checks      []report.Check     `json:"checks,omitempty"`
	Files       []string           `json:"files,omitempty"`

	plan *scenario.Scenario
	took time.Duration
}

func newSnowballOutput(
	cmd *cobra.Command, s *scenario.Scenario, r *snowball.Result, took time.Duration,
) (*snowballOutput, error) {
	text, err := s.YAML()
	if err != nil {
		return nil, err
	}
	return &snowballOutput{
		Command: commandLine(cmd), Result: r, Scenario: string(text),
		Environment: report.CurrentEnvironment(), Finding: r.Finding(), plan: s, took: took,
	}, nil
}

func (o *snowballOutput) writeText(w io.Writer) error {
	style := table.StyleFor(w)
	if err := o.Table(o.plan).WriteText(w, style); err != nil {
		return err
	}
	return ending{o.Finding, o.Checks, o.Files, o.took, o.Seed}.write(w, style)
}

// writeFiles writes the four files, the result last: it names the others.
func (o *snowballOutput) writeFiles(dir string) error {
	page := o.report()
	return writeReport(dir, &o.Files,
		reportFile{"report.html", page.WriteHTMLFile},
		reportFile{"snowball.svg", page.Charts[0].WriteSVGFile},
		reportFile{"series.csv", func(path string) error {
			return series.WriteCSVFile(path, o.Series()...)
		}},
		resultFile(o),
	)
}

// report is the result as a page.
func (o *snowballOutput) report() *report.Report {
	return &report.Report{
		Title:       o.title(),
		Summary:     snowball.Story(o.plan) + " " + o.Finding,
		Command:     o.Command,
		Seed:        &o.Seed,
		Scenario:    o.Scenario,
		Environment: o.Environment,
		Checks:      o.Checks,
		Tables:      []*table.Table{o.Table(o.plan)},
		Charts:      o.Charts(o.plan),
	}
}

func (o *snowballOutput) title() string {
	title := "Snowball: one fault, with the courier's fix off and on"
	if o.plan.Cache.StaleFor > 0 {
		title += ", and with stale values"
	}
	return title
}

// failedChecks names each check that did not hold.
func failedChecks(checks []report.Check) error {
	var failed []string
	for _, c := range checks {
		if !c.OK {
			failed = append(failed, fmt.Sprintf("%s: %s", c.Name, c.Detail))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d checks did not hold:\n  %s", len(failed), len(checks),
		strings.Join(failed, "\n  "))
}

var unit = regexp.MustCompile(`(\d) (ns|µs|ms|s|min|h|%)([^\pL\d]|$)`)

// wrapped breaks a text between words so that lines have at most width columns.
// A number stays with its unit.
func wrapped(text string, width int) string {
	const joined = "\x00" // no space to Fields
	text = unit.ReplaceAllString(text, "$1"+joined+"$2$3")
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		length := len([]rune(word))
		switch {
		case i == 0:
		case column+1+length > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += length
	}
	return strings.ReplaceAll(b.String(), joined, " ")
}
