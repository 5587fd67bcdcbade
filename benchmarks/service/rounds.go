package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/snowfence/snowfence/internal/human"
)

// run measures everything. If it fails or ctx ends, it returns what was measured until then, too.
func (o *options) run(ctx context.Context, errOut io.Writer) ([]cell, error) {
	dir, err := os.MkdirTemp("", "service")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	database := filepath.Join(dir, "rows.db")
	if err := createDatabase(ctx, database); err != nil {
		return nil, err
	}
	var cells []cell
	began := time.Now()
	for round := range o.rounds {
		stopped := make(map[string]bool)
		for number, rate := range o.rates {
			fmt.Fprintf(errOut, "service: %v: round %d of %d, %s\n",
				time.Since(began).Round(time.Second), round+1, o.rounds, human.Rate(rate))
			for at := range o.libraries {
				// Each round and rate begins with another library.
				library := o.libraries[(at+round+number)%len(o.libraries)]
				if stopped[library] {
					continue
				}
				c, err := o.measure(ctx, database, library, rate, round)
				if err != nil {
					return cells, err
				}
				stopped[library] = c.Saturated
				cells = append(cells, c)
			}
		}
	}
	return cells, nil
}
