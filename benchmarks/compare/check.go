package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// checked lists the benchmarks that must not become slower, by package.
var checked = map[string]string{
	"cache":     `^(BenchmarkHit|BenchmarkFetchMiss|BenchmarkSetNew|BenchmarkSetReplace)$`,
	"courier":   `^(BenchmarkDo|BenchmarkHerd)$`,
	"partition": `^BenchmarkOf$`,
}

// mostLoss is the largest slowdown of a benchmark that is accepted.
const mostLoss = 0.10

var errSlower = errors.New("slower than before")

// A check compares this checkout with another revision of it.
type check struct {
	base      string
	rounds    int
	benchtime string
	cpu       string
}

func checkCommand(ctx context.Context, args []string) error {
	c := &check{}
	f := flag.NewFlagSet("compare check", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), `Check runs named benchmarks of this checkout, as it is, and of an older revision turn
by turn, and fails if one is slower by more than %.0f %% or allocates more, where the
difference is significant (Mann-Whitney U test, p < 0.05).

`, 100*mostLoss)
		f.PrintDefaults()
	}
	f.StringVar(&c.base, "base", "",
		"the older revision (default: the last tag or, without one, HEAD~1)")
	f.IntVar(&c.rounds, "rounds", 6,
		"how often each has its turn, at least 4: fewer can't be significant")
	f.StringVar(&c.benchtime, "benchtime", "300ms", "how long each measurement takes")
	f.StringVar(&c.cpu, "cpu", "1,2", "numbers of cores")
	if err := cli.Parse(f, args); err != nil {
		return err
	}
	if err := cli.NoArguments(f, ""); err != nil {
		return err
	}
	if c.rounds < 4 {
		return cli.Wrong("rounds", c.rounds, "at least 4")
	}
	return c.run(ctx)
}

func git(ctx context.Context, args ...string) (string, error) {
	//nolint:gosec // arguments are ours, or a revision
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("git %s: %w\n%s", args[0], err, exit.Stderr)
		}
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// revision returns the commit to compare with.
func (c *check) revision(ctx context.Context) (string, error) {
	base := c.base
	if base == "" {
		base = "HEAD~1"
		if tag, err := git(ctx, "describe", "--tags", "--abbrev=0"); err == nil {
			base = tag
		}
	}
	commit, err := git(ctx, "rev-parse", "--verify", "--end-of-options", base+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("%w: -base: %s: %w", cli.ErrUsage, base, err)
	}
	return commit, nil
}

func (c *check) run(ctx context.Context) error {
	commit, err := c.revision(ctx)
	if err != nil {
		return err
	}
	top, err := git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-check")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	older := filepath.Join(dir, "base")
	if _, err := git(ctx, "-C", top, "worktree", "add", "--detach", older, commit); err != nil {
		return err
	}
	defer func() { // also after an interrupt
		_, _ = git(context.WithoutCancel(ctx), "-C", top, "worktree", "remove", "--force", older)
	}()
	fmt.Printf("this checkout against %s, %d rounds\n", commit[:12], c.rounds)
	var all []pair
	for pkg, pattern := range checked {
		pairs, err := c.compare(ctx, older, top, pkg, pattern, dir)
		if err != nil {
			return err
		}
		all = append(all, pairs...)
	}
	return verdict(os.Stdout, all)
}

// compare measures one package of both revisions.
func (c *check) compare(
	ctx context.Context, older, newer, pkg, pattern, dir string,
) ([]pair, error) {
	binaries := map[bool]string{}
	for _, current := range []bool{false, true} {
		from := older
		if current {
			from = newer
		}
		binaries[current] = filepath.Join(dir, fmt.Sprintf("%s-%t.test", pkg, current))
		//nolint:gosec // our own paths
		build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binaries[current], "./"+pkg)
		build.Dir = from
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go test -c ./%s in %s: %w\n%s", pkg, from, err, out)
		}
	}
	samples := map[string]*pair{}
	var order []string
	for round := range c.rounds {
		for turn := range 2 {
			current := (round+turn)%2 == 1
			//nolint:gosec // just built
			run := exec.CommandContext(ctx, binaries[current], "-test.run", "^$",
				"-test.bench", pattern, "-test.benchmem", "-test.benchtime", c.benchtime,
				"-test.cpu", c.cpu)
			run.Dir = filepath.Join(newer, pkg)
			out, err := run.Output()
			if err != nil {
				return nil, fmt.Errorf("benchmarks of %s: %w\n%s", pkg, err, out)
			}
			reader := benchfmt.NewReader(strings.NewReader(string(out)), pkg)
			for reader.Scan() {
				result, ok := reader.Result().(*benchfmt.Result)
				if !ok {
					continue
				}
				for _, unit := range []string{"sec/op", "allocs/op"} {
					v, ok := result.Value(unit)
					if !ok {
						continue
					}
					key := pkg + "." + string(result.Name) + " " + unit
					if samples[key] == nil {
						samples[key] = &pair{name: pkg + "." + string(result.Name), unit: unit}
						order = append(order, key)
					}
					samples[key].add(current, v)
				}
			}
		}
	}
	pairs := make([]pair, 0, len(order))
	for _, key := range order {
		pairs = append(pairs, *samples[key])
	}
	return pairs, nil
}

// A pair holds the old and the new values of a benchmark, in one unit.
type pair struct {
	name, unit string
	old, now   []float64
}

func (p *pair) add(current bool, v float64) {
	if current {
		p.now = append(p.now, v)
	} else {
		p.old = append(p.old, v)
	}
}

// loss returns the relative rise of the median, and whether it is too large and significant. A
// benchmark that only one revision has is no loss.
func (p *pair) loss() (change float64, bad bool) {
	if len(p.old) == 0 || len(p.now) == 0 {
		return 0, false
	}
	before, after := median(p.old), median(p.now)
	limit := mostLoss
	switch {
	case before > 0:
		change = after/before - 1
	case after > 0:
		change = 1 // from 0
	}
	if p.unit == "allocs/op" {
		limit = 0.01
	}
	if change <= limit {
		return change, false
	}
	thresholds := benchmath.DefaultThresholds
	test := benchmath.AssumeNothing.Compare(
		benchmath.NewSample(slices.Clone(p.old), &thresholds),
		benchmath.NewSample(slices.Clone(p.now), &thresholds))
	return change, test.P < test.Alpha
}

var cores = regexp.MustCompile(`-\d+$`)

// verdict prints all pairs, and returns an error if one became worse.
func verdict(w io.Writer, all []pair) error {
	if len(all) == 0 {
		return errNoResults
	}
	slices.SortStableFunc(all, func(a, b pair) int {
		return strings.Compare(cores.ReplaceAllString(a.name, ""), cores.ReplaceAllString(b.name, ""))
	})
	var bad []string
	for _, p := range all {
		change, worse := p.loss()
		mark := ""
		if worse {
			mark = "  WORSE"
			bad = append(bad, p.name+" ("+unitName(p.unit)+")")
		}
		fmt.Fprintf(w, "%-44s %-26s %12s → %-12s %+6.1f %%%s\n", p.name, unitName(p.unit),
			format(p.unit, median(p.old)), format(p.unit, median(p.now)), 100*change, mark)
	}
	if len(bad) > 0 {
		return fmt.Errorf("%w: %s", errSlower, strings.Join(bad, ", "))
	}
	return nil
}
