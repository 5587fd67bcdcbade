// Hitratio replays traces against caches of several libraries and sizes, prints the hit ratio of
// each, and draws curves.
//
//	go run ./hitratio                                      # generated traces
//	go run ./hitratio -trace oltp.arc.gz -svg ../out/bench # and a file; with curves
//
// A miss stores its key, as a loading cache does. One goroutine replays, so that the order is the
// same for all. A library that evicts in the background is measured with its defaults and, if it
// has one, in a variant that evicts at once: if evictions are late, a cache holds more entries than
// its capacity, which in small caches adds some hits. (Otter holds up to 512 more. With a capacity
// of 186, it held 321 on average over the OLTP trace.)
//
// Hash functions have a different seed in each process or cache, which in caches of a few hundred
// entries changes the hit ratio by a point. So -rounds 3 and more print the median.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/snowfence/snowfence/internal/human"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

func main() {
	cli.Main("hitratio", func(context.Context) error { return command(os.Args[1:], os.Stdout) })
}

// A result is the hit ratio of one cache with one trace.
type result struct {
	Trace    string  `json:"trace"`
	Share    float64 `json:"capacity_share"` // of the distinct keys
	Capacity int     `json:"capacity"`
	Policy   string  `json:"policy"`
	HitRatio float64 `json:"hit_ratio"` // the median of all rounds
	Lowest   float64 `json:"lowest"`
	Highest  float64 `json:"highest"`
}

// files are the values of a flag that may be given several times.
type files []string

func (f *files) String() string { return strings.Join(*f, ",") }

func (f *files) Set(path string) error {
	*f = append(*f, path)
	return nil
}

func command(args []string, out io.Writer) error {
	f := flag.NewFlagSet("hitratio", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprint(f.Output(), `Hitratio replays traces against caches that hold from 0.1 to 80 % of the distinct
keys, and prints the share of hits, in percent.

`)
		f.PrintDefaults()
	}
	var traces files
	f.Var(&traces, "trace", "a trace file, in the formats of cachebench run --trace; may be given "+
		"several times")
	requests := f.Int("requests", 500_000, "length of the generated traces")
	seed := f.Uint64("seed", 1, "of the generated traces")
	rounds := f.Int("rounds", 1, "how often each cache replays each trace; the median counts")
	jsonPath := f.String("json", "", "write the results into this file, too")
	svgDir := f.String("svg", "",
		"draw a chart of each trace, as an SVG file in this folder, which is made if need be")
	only := f.String("policies", "", "the policies, with commas between (default: all of "+
		policyNames()+")")
	if err := cli.Parse(f, args); err != nil {
		return err
	}
	if err := cli.NoArguments(f, "; traces are given with -trace"); err != nil {
		return err
	}
	if *requests < 1000 {
		return cli.Wrong("requests", *requests, "at least 1000")
	}
	if *rounds < 1 || *rounds > 1000 {
		return cli.Wrong("rounds", *rounds, "1 to 1000")
	}
	if err := cli.CheckFile("json", *jsonPath); err != nil { // before an hour of work
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if err := cli.MakeFolder("svg", *svgDir); err != nil {
		return err
	}
	all, err := loadTraces(traces, *requests, *seed)
	if err != nil {
		return err
	}
	var results []result
	for _, t := range all {
		rs, err := replayAll(t, chosen, *rounds)
		if err != nil {
			return err
		}
		results = append(results, rs...)
		if err := show(out, t, rs); err != nil {
			return err
		}
		if *svgDir != "" {
			path := filepath.Join(*svgDir, fileName(t.name))
			if err := curves(t, rs).WriteSVGFile(path); err != nil {
				return err
			}
		}
	}
	return cli.WriteJSON(*jsonPath, results)
}

// choose returns the named policies, or all.
func choose(names string) ([]policy, error) {
	if names == "" {
		return policies, nil
	}
	var chosen []policy
	for name := range strings.SplitSeq(names, ",") {
		at := slices.IndexFunc(policies, func(p policy) bool { return p.name == name })
		if at < 0 {
			return nil, cli.Wrong("policies", strconv.Quote(name), "some of "+policyNames())
		}
		chosen = append(chosen, policies[at])
	}
	return chosen, nil
}

// shares are the capacities, as fractions of the number of distinct keys.
var shares = []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8}

func replayAll(t trace, chosen []policy, rounds int) ([]result, error) {
	var results []result
	for _, share := range shares {
		capacity := max(1, int(share*float64(t.distinct)))
		for _, p := range chosen {
			ratios := make([]float64, rounds)
			for i := range ratios {
				hits, err := p.replay(t.ids, capacity)
				if err != nil {
					return nil, fmt.Errorf("%s, %d entries: %w", p.name, capacity, err)
				}
				ratios[i] = float64(hits) / float64(len(t.ids))
			}
			slices.Sort(ratios)
			results = append(results, result{
				Trace: t.name, Share: share, Capacity: capacity, Policy: p.name,
				HitRatio: ratios[rounds/2], Lowest: ratios[0], Highest: ratios[rounds-1],
			})
		}
	}
	return results, nil
}

// show prints the results of one trace, with a line for each policy and a column for each size. It
// is 100 characters wide.
func show(out io.Writer, t trace, results []result) error {
	var b strings.Builder
	n := len(results) / len(shares)
	fmt.Fprintf(&b, "%s: %s requests for %s distinct keys\n%-20s", t.name,
		human.Count(int64(len(t.ids))), human.Count(int64(t.distinct)), "  capacity")
	for _, share := range shares {
		fmt.Fprintf(&b, "%8s", fmt.Sprintf("%g %%", 100*share))
	}
	fmt.Fprintf(&b, "\n%-20s", "  entries")
	for i := range shares {
		fmt.Fprintf(&b, "%8d", results[i*n].Capacity)
	}
	b.WriteString("\n")
	for at := range n {
		fmt.Fprintf(&b, "  %-18s", results[at].Policy)
		for i := range shares {
			fmt.Fprintf(&b, "%8.2f", 100*results[i*n+at].HitRatio)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	_, err := io.WriteString(out, b.String())
	return err
}
