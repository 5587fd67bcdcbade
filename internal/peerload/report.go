package peerload

import (
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/table"
)

// Report is the result as a page. The command, the environment and the checks are the caller's to
// add.
func (r *Result) Report(c Config) *report.Report {
	return &report.Report{
		Title:    "Cluster cache: " + Headline(c),
		Finding:  r.Finding(c),
		Summary:  r.story(c),
		Seed:     &r.Seed,
		Tables:   []*table.Table{r.Table(c)},
		Glossary: r.glossary(),
		Charts:   r.Charts(c),
	}
}

// glossary explains the runs and the rows of the table.
func (r *Result) glossary() [][2]string {
	var terms [][2]string
	for _, x := range r.Runs {
		terms = append(terms, [2]string{x.Ownership.column(), ownershipMeanings[x.Ownership]})
	}
	for _, t := range Glossary() {
		terms = append(terms, [2]string{t.Row, t.Meaning})
	}
	return terms
}

// ownershipMeanings say which node loads a key.
var ownershipMeanings = map[Ownership]string{
	BySlot: "a key is loaded by the node that holds, in the registry, the name of the key's hash slot",
	ByKey:  "a key is loaded by the node that holds the name of the key in the registry",
	ByRing: "a key is loaded by the node whose place on a hash ring is next to the key's",
	None:   "each node loads for itself, as services without a shared cache do",
}
