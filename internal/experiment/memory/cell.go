package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/snowfence/snowfence/internal/lab/proc"
)

// leanest returns the live bytes of the full store that needed the least.
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
	cell := &Cell{Store: j.Store, Setting: j.Setting, Begin: map[string]float64{}}
	at, done := 0.0, false
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
	_ = p.Send(j) // it fails if the process has ended; the exit status says more
	switch err := p.Err(); {
	case err != nil:
		return nil, err
	case !done || len(cell.Samples) == 0:
		return nil, fmt.Errorf("%s: %w", name, errIncomplete)
	}
	return cell, nil
}
