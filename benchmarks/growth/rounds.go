package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/snowfence/snowfence/internal/human"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// A run measures what a plan names, round by round.
type run struct {
	*plan

	progress io.Writer
	measure  func(ctx context.Context, l library, entries int) (*result, error)
	needs    map[string]need // by library: of the largest size so far
	results  []result
	skipped  []string // what was not measured, and why
}

// A need is the memory that a process with that number of entries has taken.
type need struct {
	entries int
	bytes   float64
}

// guessedPerEntry is the memory of a process for each entry if nothing smaller was measured: the
// most that was seen, and some more.
const guessedPerEntry = 700

// estimate returns the memory that a process with that number of entries will take.
func (n need) estimate(entries int) float64 {
	if n.entries == 0 {
		return guessedPerEntry * float64(entries)
	}
	return n.bytes * max(1, float64(entries)/float64(n.entries))
}

// rounds measures one size after the other, so that a run which is stopped has all rounds of the
// smaller ones.
func (r *run) rounds(ctx context.Context) error {
	began := time.Now()
	for _, entries := range r.sizes {
		left := make(map[string]bool) // libraries that are skipped in all further rounds
		for round := range r.plan.rounds {
			for at := range r.libraries {
				// Each round begins with another library.
				l := r.libraries[(at+round)%len(r.libraries)]
				if left[l.name] {
					continue
				}
				cell := fmt.Sprintf("%s with %s entries", l.name, human.Count(entries))
				fmt.Fprintf(r.progress, "\r\x1b[K%s  round %d of %d  %v", cell, round+1, r.plan.rounds,
					time.Since(began).Round(time.Second))
				if why := r.lacks(l, entries); why != "" {
					left[l.name] = true
					r.skipped = append(r.skipped, cell+": "+why)
					continue
				}
				m, err := r.measure(ctx, l, entries)
				if err != nil {
					return fmt.Errorf("%s: %w", cell, err)
				}
				m.Round = round
				r.results = append(r.results, *m)
				r.needs[l.name] = need{entries, float64(m.Taken)}
			}
		}
	}
	fmt.Fprint(r.progress, "\r\x1b[K")
	return nil
}

// lacks returns the reason if memory is lacking for a measurement, and "" otherwise, also where the
// system does not report its memory.
func (r *run) lacks(l library, entries int) string {
	needs := r.needs[l.name].estimate(entries)
	has, ok := availableMemory()
	if !ok || needs <= has {
		return ""
	}
	return fmt.Sprintf("it may take %s, and %s are available", human.Bytes(needs), human.Bytes(has))
}

// inProcess measures in a process of its own.
func inProcess(ctx context.Context, l library, entries int) (*result, error) {
	r := &result{}
	return r, cli.InProcess(ctx, l.name, entries, r)
}
