package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/snowball"
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
		Finding:     o.Finding,
		Summary:     snowball.Story(o.plan),
		Command:     o.Command,
		Seed:        &o.Seed,
		Scenario:    o.Scenario,
		Environment: o.Environment,
		Checks:      o.Checks,
		Tables:      []*table.Table{o.Table(o.plan)},
		Glossary:    o.terms(),
		Charts:      o.Charts(o.plan),
	}
}

// terms explain the runs and the rows of the table.
func (o *snowballOutput) terms() [][2]string {
	terms := [][2]string{
		{"fix off", "the courier's link is switched off (courier.WithUnlinked), as in libraries that " +
			"have none: nobody tells callers that their fetch died"},
		{"fix on", "the library as it comes"},
	}
	stale := o.plan.Cache.StaleFor > 0
	if stale {
		terms = append(terms, [2]string{"fix on, stale values", "the same, and the cache may give a " +
			"value past its TTL where a load fails or takes long"})
	}
	for _, t := range snowball.Glossary() {
		if !t.Stale || stale {
			terms = append(terms, [2]string{t.Row, t.Meaning})
		}
	}
	return terms
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
