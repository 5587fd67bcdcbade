package main

import (
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/clusterload"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// A registryOutput is what "cachebench registry" prints and writes. Its JSON is that of --json and
// of result.json.
type registryOutput struct {
	Command string `json:"command"`
	*clusterload.Result
	Scenario    string             `json:"scenario"`
	Environment report.Environment `json:"environment"`
	Finding     string             `json:"finding"`
	Checks      []report.Check     `json:"checks,omitempty"`
	Files       []string           `json:"files,omitempty"`

	plan *scenario.Scenario
	took time.Duration
}

func newRegistryOutput(
	cmd *cobra.Command, s *scenario.Scenario, r *clusterload.Result, took time.Duration,
) (*registryOutput, error) {
	text, err := s.YAML()
	if err != nil {
		return nil, err
	}
	return &registryOutput{
		Command: commandLine(cmd), Result: r, Scenario: string(text),
		Environment: report.CurrentEnvironment(), Finding: r.Finding(s), plan: s, took: took,
	}, nil
}

func (o *registryOutput) writeText(w io.Writer) error {
	style := table.StyleFor(w)
	for i, t := range o.Tables(o.plan) {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if err := t.WriteText(w, style); err != nil {
			return err
		}
	}
	return ending{o.Finding, o.Checks, o.Files, o.took, o.Seed}.write(w, style)
}

// writeFiles writes the files, the result last: it names the others.
func (o *registryOutput) writeFiles(dir string) error {
	page := o.report()
	return writeReport(dir, &o.Files,
		reportFile{"report.html", page.WriteHTMLFile},
		reportFile{"registry.svg", page.Charts[0].WriteSVGFile},
		reportFile{"series.csv", func(path string) error {
			return series.WriteCSVFile(path, o.AllSeries()...)
		}},
		reportFile{"tables.md", func(path string) error { return writeText(path, o.markdown) }},
		resultFile(o),
	)
}

func (o *registryOutput) markdown() (string, error) {
	var parts []string
	for _, t := range o.Tables(o.plan) {
		text, err := t.Markdown()
		if err != nil {
			return "", err
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "\n"), nil
}

// report is the result as a page.
func (o *registryOutput) report() *report.Report {
	return &report.Report{
		Title:       "Registry: " + registryTitle(o.plan),
		Finding:     o.Finding,
		Summary:     clusterload.Story(o.plan),
		Command:     o.Command,
		Seed:        &o.Seed,
		Scenario:    o.Scenario,
		Environment: o.Environment,
		Checks:      o.Checks,
		Tables:      o.Tables(o.plan),
		Glossary:    registryTerms(),
		Charts:      o.Charts(o.plan),
	}
}

func registryTitle(s *scenario.Scenario) string {
	switch s.Disturb.Kind {
	case scenario.DisturbKill:
		return "a node is killed"
	case scenario.DisturbRestart:
		return "a node is killed and comes back"
	case scenario.DisturbSplit:
		return "the cluster splits and heals"
	case scenario.DisturbFlap:
		return "links fail and work again"
	case scenario.DisturbSkew:
		return "a clock is wrong"
	case scenario.DisturbNone:
	}
	if len(s.Registry.Partitions) > 1 {
		return "one load, several numbers of partitions"
	}
	return "a cluster that nobody disturbs"
}
