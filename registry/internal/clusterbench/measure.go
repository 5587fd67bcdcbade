package clusterbench

import (
	"context"
	"fmt"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/snowfence/snowfence/internal/table"
)

// patience is how long one run of one measurement may take.
const patience = 10 * time.Minute

// A section is a table: its columns are variants of one measurement.
type section struct {
	name     string
	title    string
	variants []variant
	notes    []string
	once     bool // a run has its rounds in itself
}

// A variant is a column.
type variant struct {
	title string
	run   func(context.Context) ([]figure, error)
}

// Measure runs the measurements of a plan whose names match only (nil: all), each plan.Rounds
// times, and hands each table to show as soon as it is complete. Variants that are to be compared
// take turns, so that what else the machine does meanwhile harms all alike. It stops at the first
// error.
func Measure(ctx context.Context, plan Plan, only *regexp.Regexp, show func(*table.Table)) error {
	for _, s := range plan.sections() {
		if only != nil && !only.MatchString(s.name) {
			continue
		}
		t, err := s.measure(ctx, plan.Rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		show(t)
	}
	return nil
}

func (s *section) measure(ctx context.Context, rounds int) (*table.Table, error) {
	started := time.Now()
	var rows []string
	results := make(map[string][]spread) // by row, one for each variant
	runs := rounds
	if s.once {
		runs = 1
	}
	for round := range runs {
		for i, v := range s.variants {
			figures, err := run(ctx, v)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", v.title, round+1, err)
			}
			for _, f := range figures {
				if results[f.what] == nil {
					rows = append(rows, f.what)
					results[f.what] = make([]spread, len(s.variants))
				}
				r := &results[f.what][i]
				r.unit = f.unit
				r.values = append(r.values, f.value)
			}
		}
	}
	t := table.New(s.title, "")
	for _, v := range s.variants {
		t.Columns = append(t.Columns, table.Column{Title: v.title})
	}
	for _, what := range rows {
		cells := []table.Cell{table.Text(what)}
		for i := range results[what] {
			cells = append(cells, results[what][i].cell())
		}
		t.Add(cells...)
	}
	for _, n := range s.notes {
		t.Note("%s", n)
	}
	t.Note("Medians of %d rounds (lowest – highest); took %v.", rounds,
		time.Since(started).Round(time.Second))
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t, nil
}

func run(ctx context.Context, v variant) ([]figure, error) {
	debug.FreeOSMemory() // what ran before must not slow this down
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return v.run(ctx)
}
