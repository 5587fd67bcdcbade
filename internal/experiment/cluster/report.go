package cluster

import (
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/table"
)

// Report is the result as a page. The command, the environment and the checks are the caller's to
// add.
func (r *Result) Report(c Config) *report.Report {
	return &report.Report{
		Title:   "Cluster cache: " + Headline(c),
		Summary: r.story(c) + " " + r.Finding(c),
		Seed:    &r.Seed,
		Tables:  []*table.Table{r.Table(c)},
		Charts:  r.Charts(c),
	}
}
