package lab

import (
	"context"
	"io"

	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// An Experiment is one command of the load tool. P is the struct of its parameters, as package
// params wants it, and R is what a run measures; its JSON is the result's.
type Experiment[P, R any] struct {
	Name    string
	Short   string  // one line
	Long    string  // a few lines: with the flags, they fit a screen
	Topics  []Topic // the rest of the help
	Example string

	// Defaults returns the parameters without a flag or a file.
	Defaults func() P

	// Base changes the defaults by what flags say, where no scenario file is given: for example
	// to the scenario that belongs to a fault. It may be nil. Its errors are the user's.
	Base func(p *P, s *params.Set) error

	// Complete gives fields that were not given the values that follow from others, and calls
	// Set.Derive for them. It may be nil.
	Complete func(p *P, s *params.Set)

	// Rules checks what a field's bounds can't say. It may be nil.
	Rules func(p *P, c *params.Checker)

	// Run runs the experiment. It blocks until it is over or ctx ends, in which case it returns
	// what was measured so far. A nil result says that there is nothing to show; a result and an
	// error are both shown.
	Run func(ctx context.Context, p *P, e Env) (*R, error)

	// Page returns the result as people see it.
	Page func(p *P, r *R) *Page

	// Child is what a process of the experiment does, told by its input: see Env.Child. It may
	// be nil.
	Child func(in io.Reader, out io.Writer) error

	// AlwaysChecked says that a check that does not hold fails the command without --check too.
	AlwaysChecked bool
}

// A Topic is a part of the help that stands apart: cachebench help EXPERIMENT NAME.
type Topic struct{ Name, Short, Text string }

// An Env is what a run is given besides its parameters.
type Env struct {
	// Child is the command line of a process that does what Experiment.Child does.
	Child []string

	// Progress reports how far the run is, from 0 to 1, and what it is at. It does not block.
	// One goroutine at a time may call it.
	Progress func(part float64, doing string)
}

// A Page is what a result shows to people.
type Page struct {
	Title   string // of the report
	Story   string // what was run, for somebody who knows nothing of the tool
	Finding string // what came out
	Seed    *uint64
	Partial bool // the run was stopped

	Tables   []*table.Table
	More     []*table.Table  // in the report alone
	Glossary []Term          // what the rows of the tables say
	Charts   []*report.Chart // the first one tells the story on its own
	Series   []series.Series // of series.csv; nil: those of the charts
	Checks   []report.Check
}

// A Term is a row of a table and what it says.
type Term struct{ Row, Meaning string }
