package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/snowfence/snowfence/internal/valkeytest"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
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
		r := &result{}
		return r, cli.InProcess(ctx, l.name, p.load, r)
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
