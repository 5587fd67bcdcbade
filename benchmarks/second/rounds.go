package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/snowfence/snowfence/internal/valkeytest"
)

// run starts the server, and measures round by round. If it fails or ctx ends, it returns what was
// measured until then, too.
func (p *plan) run(ctx context.Context, progress io.Writer) ([]result, error) {
	server, err := valkeytest.Start(ctx, valkeytest.Options{})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	p.load.Addr = server.Addr()
	return p.measureAll(ctx, progress, func(ctx context.Context, l library) (*result, error) {
		if _, err := server.Do(ctx, "FLUSHALL"); err != nil {
			return nil, err
		}
		return inProcess(ctx, l, p.load)
	})
}

// measureAll calls measure for each library in each round.
func (p *plan) measureAll(
	ctx context.Context, progress io.Writer,
	measure func(ctx context.Context, l library) (*result, error),
) (results []result, err error) {
	began := time.Now()
	for round := range p.rounds {
		for at := range p.libraries {
			// Each round begins with another library.
			l := p.libraries[(at+round)%len(p.libraries)]
			fmt.Fprintf(progress, "\r\x1b[K%s  round %d of %d  %v", l.name, round+1, p.rounds,
				time.Since(began).Round(time.Second))
			r, err := measure(ctx, l)
			if err != nil {
				return results, fmt.Errorf("%s: %w", l.name, err)
			}
			r.Round = round
			results = append(results, *r)
		}
	}
	fmt.Fprint(progress, "\r\x1b[K")
	return results, nil
}

// inProcess measures in a process of its own.
func inProcess(ctx context.Context, l library, w load) (*result, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	argument, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	//nolint:gosec // this program
	cmd := exec.CommandContext(ctx, program, measureCommand, l.name, string(argument))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w\n%s", err, errs.String())
	}
	r := &result{}
	return r, json.Unmarshal(out.Bytes(), r)
}
