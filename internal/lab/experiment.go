package lab

import (
	"context"
	"io"

	"github.com/snowfence/snowfence/debug"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/table"
)

// An Experiment is one command of the load tool. P is the struct of its parameters, in the form
// that package params reads. R is the result of a run; its JSON is part of the command's.
type Experiment[P, R any] struct {
	Name    string
	Short   string  // one line
	Long    string  // a few lines: with the flags, they fit a screen
	Topics  []Topic // the rest of the help
	Example string

	// Defaults returns the parameters without a flag or a file.
	Defaults func() P

	// Base changes the defaults depending on flags, if no scenario file is given: for example, to
	// the scenario of a fault. It may be nil. Its errors are usage errors.
	Base func(p *P, s *params.Set) error

	// Complete derives values of fields that were not given from other fields, and calls Set.Derive
	// for them. It may be nil.
	Complete func(p *P, s *params.Set)

	// Rules checks what the bounds of single fields can't express. It may be nil.
	Rules func(p *P, c *params.Checker)

	// Run runs the experiment. It blocks until the experiment is over or ctx ends, in which case it
	// returns the results so far. A nil result means that there is nothing to show. If it returns a
	// result and an error, both are shown.
	Run func(ctx context.Context, p *P, e Env) (*R, error)

	// Page returns the result in the form for people.
	Page func(p *P, r *R) *Page

	// Child runs in the processes that the experiment starts with Env.Child. It may be nil.
	Child func(in io.Reader, out io.Writer) error

	// Shows says that Run adds what it runs to Env.Debug.
	Shows bool

	// AlwaysChecked makes a check that does not hold fail the command even without --check.
	AlwaysChecked bool
}

// A Topic is a separate part of the help: cachebench help EXPERIMENT NAME.
type Topic struct{ Name, Short, Text string }

// An Env is the environment of a run, besides its parameters.
type Env struct {
	// Child is the command line of a process that runs Experiment.Child.
	Child []string

	// Debug is the page of --debug-addr, for an experiment with Shows; nil without that flag.
	Debug *debug.Handler

	// Progress shows the completed part of the run, from 0 to 1, and its current step. It does not
	// block. It must not be called concurrently.
	Progress func(part float64, doing string)
}

// A Page is a result in the form for people.
type Page struct {
	Title   string // of the report
	Story   string // a description of the run for readers who do not know the tool
	Finding string // the result in a few sentences
	Seed    *uint64
	Partial bool // the run was stopped

	Tables   []*table.Table
	More     []*table.Table  // in the report alone
	Glossary []Term          // the meaning of the rows of the tables
	Charts   []*report.Chart // the first one suffices to understand the result
	Series   []series.Series // of series.csv; nil: those of the charts
	Checks   []report.Check
}

// A Term is a row of a table and its meaning.
type Term struct{ Row, Meaning string }
