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
// runs, and returns the others and no error, unless there is none.
func Execute(ctx context.Context, c Config) (*Result, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &Result{Seed: c.Seed}
	cells := len(c.Stores) * len(c.GOGC)
	if c.Limit >= 0 {
		cells += len(c.Stores)
	}
	run := func(store string, gogc int, limit int64) error {
		j := Job{Store: store, GOGC: gogc, Limit: limit, Entries: c.Entries, ValueSize: c.ValueSize, Keep: c.Keep,
			Phase: c.Phase, Rate: c.Rate, Seed: c.Seed}
		if c.Progress != nil {
			c.Progress(Progress{len(r.Cells), cells, j.setting() + "  " + store})
		}
		cell, err := runCell(ctx, c.Command, j)
		if err != nil {
			if ctx.Err() != nil && len(r.Cells) > 0 {
				r.Partial = true
				return nil
			}
			return fmt.Errorf("%s, %s: %w", store, j.setting(), err)
		}
		r.Cells = append(r.Cells, cell)
		return nil
	}
	for _, gogc := range c.GOGC {
		for _, store := range c.Stores {
			if err := run(store, gogc, 0); err != nil || r.Partial {
				return r, err
			}
		}
	}
	if c.Limit < 0 {
		return r, nil
	}
	limit := c.Limit
	if limit == 0 {
		limit = max(r.limit(), 16<<20)
	}
	for _, store := range c.Stores {
		if err := run(store, 100, limit); err != nil || r.Partial {
			return r, err
		}
	}
	return r, nil
}

// limit is where a cache that gives way has to, and one that does not still just
// fits: a tenth above what the leanest store had in use at its fullest.
func (r *Result) limit() int64 {
	least := 0.0
	for _, c := range r.Cells {
		live := c.most(func(s Sample) float64 { return s.Live })
		if least == 0 || live < least {
			least = live
		}
	}
	return int64(least * 1.1)
}

func (j *Job) setting() string {
	if j.Limit > 0 {
		return fmt.Sprintf("GOMEMLIMIT=%dMiB", j.Limit>>20)
	}
	return fmt.Sprintf("GOGC=%d", j.GOGC)
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
			c.Hits, c.Gets, c.Ops, done = l.Hits, l.Gets, l.Ops, true
		}
	}
	return done, lines.Err()
}
