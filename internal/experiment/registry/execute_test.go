package registry

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/report"
)

// small is a cluster that is quick to fail and to recover, with a load that a busy machine keeps up
// with.
func small(t *testing.T, d lab.Disturbance) *Params {
	t.Helper()
	p := defaults()
	p.Duration = 1500 * time.Millisecond
	p.Nodes, p.Partitions, p.Victims = 3, []int{4}, 1
	p.Names, p.Rate, p.Contested = 60, 200, 20
	p.Gossip, p.Probe = 20*time.Millisecond, 50*time.Millisecond
	p.Disturb, p.Start, p.End = d, 300*time.Millisecond, 1200*time.Millisecond
	p.FlapPeriod = 50 * time.Millisecond
	p.WholeWithin, p.QueueAtMost = 0, 0
	require.NoError(t, valid(&p))
	return &p
}

func valid(p *Params) error {
	return params.Of(p).Validate(false, func(c *params.Checker) { rules(p, c) })
}

// env returns the Env of a run; progress may be nil.
func env(t *testing.T, progress func(part float64, doing string)) lab.Env {
	t.Helper()
	if progress == nil {
		progress = func(float64, string) {}
	}
	return lab.Env{Child: nodeProcess(t), Progress: progress}
}

func requireChecks(t *testing.T, r *Result, p *Params) {
	t.Helper()
	for _, c := range r.checks(p) {
		assert.True(t, c.OK, "%s: %s", c.Name, c.Detail)
	}
}

// executed runs an experiment and holds it to all that must always be so.
func executed(t *testing.T, p *Params) *Result {
	t.Helper()
	t.Logf("seed %d", p.Seed)
	r, err := execute(t.Context(), p, env(t, nil))
	require.NoError(t, err)
	require.False(t, r.partial)
	require.Len(t, r.Runs, len(p.Partitions))
	requireChecks(t, r, p)
	for _, x := range r.Runs {
		require.NotNil(t, x.Audit)
		require.True(t, x.Settled.Exists(), "the nodes did not come to agree")
		require.Positive(t, x.Audit.Names)
		require.Positive(t, x.Registered)
		require.Positive(t, x.Released)
		require.Positive(t, x.Setup)
		require.Zero(t, x.EventsMissed)
		require.Positive(t, x.Counts.Sent.Updates)
		require.Positive(t, x.Counts.WireBytes)
		require.Len(t, x.QueuePeaks, x.Partitions)
		require.Positive(t, x.Visible.Before.Count+x.Visible.During.Count+x.Visible.After.Count)
	}
	return r
}

func TestUndisturbed(t *testing.T) {
	s := small(t, lab.Calm)
	s.Partitions = []int{1, 8}
	var doing []string
	last := 0.0
	r, err := execute(t.Context(), s, env(t, func(part float64, text string) {
		what, _, _ := strings.Cut(text, ":")
		if len(doing) == 0 || doing[len(doing)-1] != what {
			doing = append(doing, what)
		}
		assert.GreaterOrEqual(t, part, last)
		assert.LessOrEqual(t, part, 1.0)
		last = part
	}))
	require.NoError(t, err)
	require.Equal(t, []string{
		"partitions 1  starting", "partitions 1  filling", "partitions 1  running",
		"partitions 1  settling", "partitions 8  starting", "partitions 8  filling",
		"partitions 8  running", "partitions 8  settling",
	}, doing)
	requireChecks(t, r, s)
	for _, c := range r.checks(s) {
		assert.Regexp(t, "^(1 partition|8 partitions): ", c.Name)
	}
	require.Equal(t, []int{1, 8}, []int{r.Runs[0].Partitions, r.Runs[1].Partitions})
	for _, x := range r.Runs {
		require.Equal(t, 20, x.Conflicts.Names)
		require.Zero(t, x.Died)
		require.NotContains(t, r.finding(s), "whole")
		require.False(t, x.Whole.Exists(), "nothing was disturbed")
		require.Empty(t, x.Victims)
	}

	tables := r.tables(s)
	require.Len(t, tables, 2)
	for _, table := range tables {
		require.NoError(t, table.Validate())
	}
	require.Contains(t, tables[0].Title,
		"3 nodes in one process, 60 names from the start, 200 changes/s for 1.5 s. Nothing is disturbed.")
	require.Contains(t, r.finding(s), "With 8 partitions: a registration was visible")
	columns := make(map[string]bool)
	for _, series := range r.series() {
		columns[series.Name] = true
	}
	for _, name := range []string{"p1_names_node-01", "p8_names_node-03", "p8_views_behind",
		"p1_queue_depth", "p8_visible_p99_seconds"} {
		require.True(t, columns[name], name)
	}
}

// What is registered on both sides of a split has one holder when it has healed, and the other was
// told.
func TestSplit(t *testing.T) {
	for _, resolver := range []string{"newest", "oldest"} {
		t.Run(resolver, func(t *testing.T) {
			s := small(t, lab.Split)
			s.Resolver = resolver
			r := executed(t, s)
			x := r.Runs[0]
			require.Equal(t, Conflicts{Names: 20, Both: 20, Losers: 20, Told: 20, Apart: x.Conflicts.Apart},
				x.Conflicts)
			require.Len(t, x.Victims, 1)
			require.True(t, x.Whole.Exists())
			require.Positive(t, float64(x.Visible.During.Max))

			charts := r.charts(s)
			require.Equal(t, "Names visible", charts[0].Title)
			require.Equal(t, []report.Window{{From: 0.3, To: 1.2, Label: "split: " + x.Victims[0] +
				" cut off"}}, charts[0].Windows)
			require.Equal(t, "whole again", charts[0].Marks[0].Label)
			require.Len(t, charts[0].Lines, 4)
		})
	}
}

func TestKillInProcesses(t *testing.T) {
	s := small(t, lab.Kill)
	s.Processes = true
	r := executed(t, s)
	x := r.Runs[0]
	require.Positive(t, x.Died)
	require.GreaterOrEqual(t, x.Counts.NodesDown, uint64(2), "both of the others must have found out")
	require.True(t, x.Whole.Exists())
	require.Contains(t, r.tables(s)[0].Title, "3 nodes in processes of their own")
	require.Contains(t, r.tables(s)[0].Title, x.Victims[0]+" is killed.")
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var back struct {
		Runs []struct {
			Victims []string
			Audit   struct{ Zombies int }
		}
	}
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, x.Victims, back.Runs[0].Victims)
}

func TestRestart(t *testing.T) {
	for _, processes := range []bool{false, true} {
		s := small(t, lab.Restart)
		s.Processes = processes
		x := executed(t, s).Runs[0]
		require.Positive(t, x.Died)
		require.True(t, x.Whole.Exists())
		last := func(name string) float64 {
			for _, series := range x.Series {
				if series.Name == name {
					return series.Points[len(series.Points)-1].V
				}
			}
			return -1
		}
		require.InDelta(t, x.Audit.Names, last(seriesNamesOf+x.Victims[0]), 0,
			"the node that came back shows all names")
		require.InDelta(t, 0, last(seriesBehind), 0)
	}
}

func TestFlapInProcesses(t *testing.T) {
	s := small(t, lab.Flap)
	s.Victims = 3
	s.Processes = true
	require.True(t, executed(t, s).Runs[0].Whole.Exists())
}

func TestSkew(t *testing.T) {
	s := small(t, lab.Skew)
	r, err := execute(t.Context(), s, env(t, nil))
	if errors.Is(err, errNoClock) {
		t.Skip("this registry has no clock that can be set")
	}
	require.NoError(t, err)
	requireChecks(t, r, s)
}

func TestOneNode(t *testing.T) {
	s := small(t, lab.Calm)
	s.Nodes, s.Contested = 1, 0
	r, err := execute(t.Context(), s, env(t, nil))
	require.NoError(t, err)
	requireChecks(t, r, s)
	require.Zero(t, r.Runs[0].Visible.Before.Count, "there is no other node")
}

func TestStopped(t *testing.T) {
	s := small(t, lab.Split)
	s.Duration, s.End = time.Minute, time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	r, err := execute(ctx, s, env(t, func(part float64, doing string) {
		if strings.HasPrefix(doing, "running") && part > 0.1+0.8*0.5/60 {
			cancel()
		}
	}))
	require.NoError(t, err)
	require.True(t, r.partial)
	require.Len(t, r.Runs, 1)
	x := r.Runs[0]
	require.Nil(t, x.Audit)
	require.Less(t, float64(x.Seconds), 60.0)
	require.Contains(t, r.finding(s), "The run was stopped")
	failed := 0
	for _, c := range r.checks(s) {
		if !c.OK {
			failed++
		}
	}
	require.Positive(t, failed, "what was not looked at is not passed")
	for _, table := range r.tables(s) {
		require.NoError(t, table.Validate())
	}
	require.NotEmpty(t, r.charts(s))

	cancel()
	r, err = execute(ctx, s, env(t, nil))
	require.NoError(t, err)
	require.Empty(t, r.Runs)
	require.Contains(t, r.finding(s), "stopped before there was anything to see")
	require.NotEmpty(t, r.charts(s))
	require.NotEmpty(t, r.tables(s))
}

// The run before one that fails has been measured, and is not lost.
func TestRunThatFailsLeavesTheOneBeforeIt(t *testing.T) {
	s := small(t, lab.Calm)
	s.Processes, s.Partitions = true, []int{1, 4}
	var e lab.Env
	e = env(t, func(_ float64, doing string) {
		if strings.HasPrefix(doing, "partitions 4") {
			e.Child[0] = "/no/such/program"
		}
	})
	r, err := execute(t.Context(), s, e)
	require.ErrorContains(t, err, "fork/exec /no/such/program")
	require.True(t, r.partial)
	require.Len(t, r.Runs, 1)
	require.NotEmpty(t, r.finding(s))
}

func TestWhatCanNotBeRun(t *testing.T) {
	s := small(t, lab.Calm)
	s.Processes = true
	e := env(t, nil)
	e.Child = []string{"/no/such/program"}
	_, err := execute(t.Context(), s, e)
	require.ErrorContains(t, err, "node node-01: fork/exec /no/such/program")

	// A process that is none of ours says so, and is not waited for.
	e.Child = []string{nodeProcess(t)[0], "-test.run=^$"}
	_, err = execute(t.Context(), s, e)
	require.ErrorContains(t, err, "node node-01: its process has ended")
}

// A node's process that ends by itself ends the run, with what it had to say.
func TestLostProcess(t *testing.T) {
	s := small(t, lab.Calm)
	s.Processes = true
	s.Duration = time.Minute
	s.End = time.Minute
	r := newRun(s, env(t, nil), 0, 4)
	killed := false
	r.env.Progress = func(_ float64, doing string) {
		if strings.HasPrefix(doing, "running") && !killed {
			killed = true
			p, ok := r.cluster.members[1].get().(*processNode)
			require.True(t, ok)
			p.Kill()
		}
	}
	_, err := r.execute(t.Context())
	require.ErrorContains(t, err, "node node-02: its process has ended: signal: killed")
}

// The defaults are those of the scenario that belongs to the default disturbance, and each
// disturbance has one.
func TestBase(t *testing.T) {
	for _, kind := range []lab.Disturbance{lab.Calm, lab.Kill, lab.Restart, lab.Split, lab.Flap,
		lab.Skew} {
		p := defaults()
		p.Disturb = kind
		set := params.Of(&p)
		require.NoError(t, base(&p, set))
		require.Equal(t, kind, p.Disturb)
		require.NoError(t, valid(&p))
		require.Empty(t, set.Name(), "it is the program's and no file's")
		require.Contains(t, story(&p), "A registry of names")
		require.Positive(t, p.WholeWithin)
		if kind == lab.Split {
			require.Equal(t, defaults(), p)
		}
	}
}

// Every scenario of this experiment that is shipped is valid, and expects something.
func TestShippedScenarios(t *testing.T) {
	files, err := filepath.Glob("../../../testdata/scenarios/registry-*.yaml")
	require.NoError(t, err)
	require.Len(t, files, 8)
	readme, err := os.ReadFile("../../../testdata/scenarios/README.md")
	require.NoError(t, err)
	for _, file := range files {
		p := defaults()
		p.WholeWithin = 0
		set := params.Of(&p)
		require.NoError(t, set.ReadFile(file, "registry"))
		require.NoError(t, set.Validate(false, func(c *params.Checker) { rules(&p, c) }))
		require.Equal(t, strings.TrimSuffix(filepath.Base(file), ".yaml"), set.Name())
		require.NotEmpty(t, set.Description(), file)
		require.Positive(t, p.WholeWithin, file)
		require.Contains(t, string(readme), "| `"+filepath.Base(file)+"` |", "no row in the README")
	}
}

func TestGlossary(t *testing.T) {
	for _, term := range lab.Glossary(measures) {
		require.NotEmpty(t, term.Row)
		require.NotEmpty(t, term.Meaning)
	}
}
