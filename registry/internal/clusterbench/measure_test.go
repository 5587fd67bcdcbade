package clusterbench

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/table"
)

var (
	measure = flag.Bool("measure", false,
		"take the measurements, and print them as tables in Markdown")
	rounds = flag.Int("measure.rounds", DefaultPlan.Rounds, "how often each measurement is repeated")
	only   = flag.String("measure.only", "",
		"a regular expression: take only the measurements of these `names`")
	churned = flag.Int("clusterbench.churn", 10_000,
		"how many names a second are released and registered during a join")
	names = flag.Int("clusterbench.names", DefaultPlan.Join,
		"how many names the cluster of a join holds")
)

func TestMeasure(t *testing.T) {
	if !*measure {
		t.Skip("takes minutes; run it with -measure")
	}
	which, err := regexp.Compile(*only)
	require.NoError(t, err, "-measure.only")
	require.Positive(t, *rounds, "-measure.rounds")
	require.Positive(t, *names, "-clusterbench.names")
	plan := DefaultPlan
	plan.Rounds, plan.Join = *rounds, *names
	require.NoError(t, Measure(t.Context(), plan, which, func(tab *table.Table) {
		text, err := tab.Markdown()
		require.NoError(t, err)
		_, _ = fmt.Fprintf(os.Stdout, "\n%s\n", text)
	}))
}

// tiny is a plan that only shows that the measurements work.
var tiny = Plan{
	Rounds: 1, Names: 64, Spread: [2]int{32, 300}, Join: 301, Steps: 2, Few: 4, Many: 300,
	BigCluster: 4,
	Idle:       1200 * time.Millisecond, Partitions: [2]int{1, 64}, Lookups: 5 * time.Millisecond,
	Churn: 20, ChurnRate: 5000,
}

// All measurements, on a small scale, have plausible results. They mostly wait, so some run
// concurrently; if all did, some of the many nodes would not run for seconds and could not join.
func TestMeasurements(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sections := tiny.sections()
	type result struct {
		figures []figure
		err     error
	}
	results := make(map[string][]result)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for _, s := range sections {
		all := make([]result, len(s.variants))
		results[s.name] = all
		for i, v := range s.variants {
			run := func() { all[i].figures, all[i].err = v.run(ctx) }
			if s.name == "lookup" {
				run() // alone, because it sets GOMAXPROCS
				continue
			}
			wg.Go(func() {
				slots <- struct{}{}
				run()
				<-slots
			})
		}
	}
	wg.Wait()
	for _, s := range sections {
		t.Run(s.name, func(t *testing.T) {
			for i, r := range results[s.name] {
				require.NoError(t, r.err, s.variants[i].title)
				shown := make(map[string]float64)
				for _, f := range r.figures {
					require.False(t, math.IsNaN(f.value) || math.IsInf(f.value, 0), f.what)
					shown[f.what] = f.value
				}
				for _, what := range positive[s.name] {
					require.Contains(t, shown, what, slices.Sorted(maps.Keys(shown)))
					require.Positive(t, shown[what], what)
				}
			}
		})
	}
}

// positive lists figures, by section, that must not be 0.
var positive = map[string][]string{
	"single": {"register, 1 goroutine", "release, 4 goroutines"},
	"lookup": {"lookups of names that are held", "lookups of names that are not"},
	"three": {
		"register on all nodes at once, until all show it",
		"release on all nodes at once, until none shows it",
		"one at a time: register until all show it, 50th percentile",
		"one at a time: release until none shows it, 99th percentile",
	},
	"spread": {"300 names on one node: all nodes show all",
		"300 names on one node: deepest queue of a partition"},
	"join": {"join until the node has all", "join, bytes per name",
		"heap per name on the node that joined, by Stats"},
	"heap": {"heap per name where the holders live, by Stats"},
	"flood": {"registrations per second", "registration, 99th percentile",
		"deepest queue of a partition (names)"},
	"rate": {"registrations per second", "registration, 50th percentile"},
	"bytes": {"4 names: bytes per name, sent by all nodes",
		"300 names: bytes per name, sent by all nodes"},
	"idle":    {"bytes per node and second", "packets per node and second"},
	"resting": {"bytes per node and second", "packets per node and second"},
}

func TestMeasureShowsMedians(t *testing.T) {
	values := []float64{5, 1, 3}
	s := section{title: "title", variants: []variant{
		{"first", func(context.Context) ([]figure, error) {
			v := values[0]
			values = values[1:]
			return []figure{{"what", number, v}}, nil
		}},
		{"second", func(context.Context) ([]figure, error) {
			return []figure{{"what", bytes, 7}, {"more", seconds, 2}}, nil
		}},
	}}
	tab, err := s.measure(t.Context(), 3)
	require.NoError(t, err)
	require.Equal(t, "3 (1 – 5)", tab.Rows[0].Cells[1].String())
	require.Equal(t, "7 B", tab.Rows[0].Cells[2].String())
	require.Equal(t, table.Missing(), tab.Rows[1].Cells[1])
	require.Equal(t, "2.0 s", tab.Rows[1].Cells[2].String())
}

func TestMeasureOnly(t *testing.T) {
	plan := tiny
	var titles []string
	err := Measure(t.Context(), plan, regexp.MustCompile("^single$"),
		func(tab *table.Table) { titles = append(titles, tab.Title) })
	require.NoError(t, err)
	require.Equal(t, []string{"One node, nobody else in the cluster"}, titles)
}

// A measurement that exceeds its time ends with an error that names what it waited for, and leaves
// no goroutine.
func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := setup{nodes: 1}.with(ctx, func(c *cluster) error { return c.visible(ctx, 1) })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err,
		"waiting until every node shows 1 names (node 0: 1 members, 0 names)")
}
