package memload

import (
	"context"
	"errors"
	"fmt"

	"github.com/snowfence/snowfence/internal/lab/proc"
)

// Execute runs all cells, one after the other. If ctx ends it stops the one that
// runs, and returns the others and no error, unless there is none. With the error of a cell that
// fails, the cells before it are returned as a partial result.
func Execute(ctx context.Context, c Config) (*Result, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &Result{Seed: c.Seed}
	cells := c.cells()
	run := func(settings []Setting) error {
		for _, setting := range settings {
			for _, store := range c.Stores {
				if r.Partial || !setting.suits(store) {
					continue
				}
				if c.Progress != nil {
					c.Progress(Progress{len(r.Cells), cells, setting.String() + "  " + store})
				}
				cell, err := runCell(ctx, c.Command,
					Job{Store: store, Setting: setting, Entries: c.Entries, ValueSize: c.ValueSize,
						Keep: c.Keep, Phase: c.Phase, Rate: c.Rate, Seed: c.Seed})
				switch {
				case err == nil:
					r.Cells = append(r.Cells, cell)
				case ctx.Err() != nil && len(r.Cells) > 0:
					r.Partial = true
				default:
					return err
				}
			}
		}
		return nil
	}
	for _, settings := range []func() []Setting{
		c.unlimited, func() []Setting { return c.limited(r.leanest()) }, c.expiring,
	} {
		err := run(settings())
		if err != nil && len(r.Cells) == 0 {
			return nil, err
		}
		if err != nil {
			r.Partial = true
			return r, err
		}
	}
	return r, nil
}

// leanest is what the store that needs least had live when it was full, in bytes.
func (r *Result) leanest() float64 {
	least := 0.0
	for _, c := range r.Cells {
		if least == 0 || c.Live < least {
			least = c.Live
		}
	}
	return least
}

var errIncomplete = errors.New("its process ended before it was done")

// runCell runs a cell in a process of its own.
func runCell(ctx context.Context, command []string, j Job) (*Cell, error) {
	name := fmt.Sprintf("%s, %s", j.Store, j.Setting)
	cell, at, done := &Cell{Job: j, Begin: map[string]float64{}}, 0.0, false
	p, err := proc.Start(name, command, func(l line) {
		switch {
		case l.Sample != nil:
			at = l.Sample.T
			cell.Samples = append(cell.Samples, *l.Sample)
		case l.Phase != "":
			cell.Begin[l.Phase] = at
		case l.Done:
			cell.Totals, done = l.Totals, true
		}
	})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, p.Kill)()
	_ = p.Send(j) // it fails if the process has ended, and how it ended says more
	switch err := p.Err(); {
	case err != nil:
		return nil, err
	case !done || len(cell.Samples) == 0:
		return nil, fmt.Errorf("%s: %w", name, errIncomplete)
	}
	return cell, nil
}
