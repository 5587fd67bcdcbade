package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
)

// A result is what came out of all rounds.
type result struct {
	Environment report.Environment `json:"environment"`
	Libraries   []string           `json:"libraries"`
	Rates       []float64          `json:"rates"`
	WarmUp      time.Duration      `json:"warm_up_ns"`
	Duration    time.Duration      `json:"duration_ns"`
	TTL         time.Duration      `json:"ttl_ns"`
	Timeout     time.Duration      `json:"timeout_ns"`
	Faults      faults             `json:"faults"`
	Connections int                `json:"connections"`
	Cells       []cell             `json:"cells"`
}

func newResult(o *options, cells []cell) *result {
	return &result{
		report.CurrentEnvironment(), o.libraries, o.rates, o.warm, o.duration, o.ttl, o.timeout,
		o.faults, o.connections, cells,
	}
}

// readResult reads a file that -json wrote.
func readResult(path string) (*result, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the user's choice
	if err != nil {
		return nil, err
	}
	r := &result{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(r.Cells) == 0 {
		return nil, fmt.Errorf("%s: %w", path, errNoResult)
	}
	return r, nil
}

var errNoResult = errors.New("there is no measurement in it")

// A number is one of a cell.
type number func(*cell) measured.Value

// The numbers of a cell.
func answered(c *cell) measured.Value { return c.Answered }
func p50(c *cell) measured.Value      { return c.P50 }
func p99(c *cell) measured.Value      { return c.P99 }
func p999(c *cell) measured.Value     { return c.P999 }
func failures(c *cell) measured.Value { return c.Errors }
func cpu(c *cell) measured.Value      { return c.CPU }
func heap(c *cell) measured.Value     { return c.Heap }
func rss(c *cell) measured.Value      { return c.RSS }
func queries(c *cell) measured.Value  { return c.Queries }
func late(c *cell) measured.Value     { return c.Late }

// of returns the cells of a library at a rate: of each round in which it got that far.
func (r *result) of(library string, rate float64) []*cell {
	var cells []*cell
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Library == library && c.Rate == rate {
			cells = append(cells, c)
		}
	}
	return cells
}

// keepsUp reports whether a library kept up with a rate in most rounds. A round in which it did not
// get that far counts as one in which it did not.
func (r *result) keepsUp(library string, rate float64) bool {
	kept := 0
	for _, c := range r.of(library, rate) {
		if !c.Saturated {
			kept++
		}
	}
	return 2*kept > r.rounds()
}

// rounds returns how many rounds have begun.
func (r *result) rounds() (rounds int) {
	for i := range r.Cells {
		rounds = max(rounds, r.Cells[i].Round+1)
	}
	return rounds
}

// A spread is the median of the rounds and the extremes.
type spread struct{ median, low, high measured.Value }

func spreadOf(values []measured.Value) spread {
	values = slices.DeleteFunc(values, func(v measured.Value) bool { return !v.Exists() })
	n := len(values)
	if n == 0 {
		return spread{measured.None(), measured.None(), measured.None()}
	}
	slices.Sort(values)
	return spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// spread returns how a number of the cells of a library at a rate is spread.
func (r *result) spread(library string, rate float64, of number) spread {
	var values []measured.Value
	for _, c := range r.of(library, rate) {
		values = append(values, of(c))
	}
	return spreadOf(values)
}

// against returns how a number is spread as a multiple of another library's in the same rounds.
func (r *result) against(library, other string, rate float64, of number) spread {
	theirs := make(map[int]measured.Value)
	for _, c := range r.of(other, rate) {
		theirs[c.Round] = of(c)
	}
	var values []measured.Value
	for _, c := range r.of(library, rate) {
		if v, ok := theirs[c.Round]; ok && v != 0 {
			values = append(values, of(c)/v)
		}
	}
	return spreadOf(values)
}
