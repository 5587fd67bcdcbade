package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/experiment/cluster"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// A clusterOutput is what "cachebench cluster" prints and writes. Its JSON is that of --json and of
// result.json.
type clusterOutput struct {
	Command string `json:"command"`
	*cluster.Result
	Config      cluster.Settings  `json:"config"`
	Environment report.Environment `json:"environment"`
	Finding     string             `json:"finding"`
	Checks      []report.Check     `json:"checks,omitempty"`
	Files       []string           `json:"files,omitempty"`

	plan cluster.Config
	took time.Duration
}

func newClusterOutput(
	cmd *cobra.Command, c cluster.Config, r *cluster.Result, took time.Duration,
) *clusterOutput {
	return &clusterOutput{
		Command: commandLine(cmd), Result: r, Config: c.Settings(),
		Environment: report.CurrentEnvironment(), Finding: r.Finding(c),
		plan: c, took: took,
	}
}

func (o *clusterOutput) writeText(w io.Writer) error {
	style := table.StyleFor(w)
	if err := o.Table(o.plan).WriteText(w, style); err != nil {
		return err
	}
	return ending{o.Finding, o.Checks, o.Files, o.took, o.Seed}.write(w, style)
}

// writeFiles writes the files, the result last: it names the others.
func (o *clusterOutput) writeFiles(dir string) error {
	page := o.Report(o.plan)
	page.Command, page.Environment, page.Checks = o.Command, o.Environment, o.Checks
	return writeReport(dir, &o.Files,
		reportFile{"report.html", page.WriteHTMLFile},
		reportFile{"cluster.svg", page.Charts[0].WriteSVGFile},
		reportFile{"series.csv", func(path string) error {
			return series.WriteCSVFile(path, o.AllSeries()...)
		}},
		reportFile{"tables.md", func(path string) error {
			return writeText(path, o.Table(o.plan).Markdown)
		}},
		resultFile(o),
	)
}
