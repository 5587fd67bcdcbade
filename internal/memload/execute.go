package memload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
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
					return fmt.Errorf("%s, %s: %w", store, setting, err)
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
	job, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the program itself
	cmd.Stdin = bytes.NewReader(job)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	cell := &Cell{Job: j, Begin: map[string]float64{}}
	done, readErr := cell.read(bufio.NewScanner(out))
	if readErr != nil {
		_ = cmd.Process.Kill() // it would block on the pipe
	}
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(complaints.Bytes()))
	}
	if !done || len(cell.Samples) == 0 {
		return nil, errIncomplete
	}
	return cell, nil
}

// read takes in what the process says.
func (c *Cell) read(lines *bufio.Scanner) (done bool, err error) {
	at := 0.0
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return false, fmt.Errorf("not a line of a cell: %w", err)
		}
		switch {
		case l.Sample != nil:
			at = l.Sample.T
			c.Samples = append(c.Samples, *l.Sample)
		case l.Phase != "":
			c.Begin[l.Phase] = at
		case l.Done:
			c.Totals, done = l.Totals, true
		}
	}
	return done, lines.Err()
}
