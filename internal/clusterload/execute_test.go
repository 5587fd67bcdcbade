package clusterload

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/scenario"
)

// small is a cluster that is quick to fail and to recover, with a load that a busy machine keeps up
// with.
func small(t *testing.T, d scenario.Disturbance) *scenario.Scenario {
	t.Helper()
	s := scenario.Default()
	s.Kind, s.Name = scenario.KindRegistry, "small"
	s.Duration = 1500 * time.Millisecond
	s.Registry.Nodes, s.Registry.Partitions = 3, scenario.Counts{4}
	s.Registry.Names, s.Registry.Rate, s.Registry.Contested = 60, 200, 20
	s.Registry.Gossip, s.Registry.Probe = 20*time.Millisecond, 50*time.Millisecond
	s.Disturb.Kind, s.Disturb.Start, s.Disturb.End = d, 300*time.Millisecond, 1200*time.Millisecond
	s.Disturb.Period = 50 * time.Millisecond
	require.NoError(t, Validate(s))
	return s
}

// execute runs a scenario and holds it to all that must always be so.
func execute(t *testing.T, s *scenario.Scenario) *Result {
	t.Helper()
	t.Logf("seed %d", s.Seed)
	r, err := Execute(t.Context(), Config{Scenario: s, Command: nodeProcess(t)})
	require.NoError(t, err)
	require.False(t, r.Partial)
	require.Len(t, r.Runs, len(s.Registry.Partitions))
	for _, c := range r.Checks(s) {
		assert.True(t, c.OK, "%s: %s", c.Name, c.Detail)
	}
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
	s := small(t, scenario.DisturbNone)
	s.Registry.Partitions = scenario.Counts{1, 8}
	var doing []string
	r, err := Execute(t.Context(), Config{Scenario: s, Progress: func(p Progress) {
		what := strings.Repeat("*", p.Run+1) + p.Doing
		if len(doing) == 0 || doing[len(doing)-1] != what {
			doing = append(doing, what)
		}
	}})
	require.NoError(t, err)
	require.Equal(t, []string{"*starting", "*filling", "*running", "*settling", "**starting",
		"**filling", "**running", "**settling"}, doing)
	for _, c := range r.Checks(s) {
		assert.True(t, c.OK, "%s: %s", c.Name, c.Detail)
		assert.Regexp(t, "^(1 partition|8 partitions): ", c.Name)
	}
	require.Equal(t, []int{1, 8}, []int{r.Runs[0].Partitions, r.Runs[1].Partitions})
	for _, x := range r.Runs {
		require.Equal(t, 20, x.Conflicts.Names)
		require.Zero(t, x.Died)
		require.NotContains(t, r.Finding(s), "whole")
		require.False(t, x.Whole.Exists(), "nothing was disturbed")
		require.Empty(t, x.Struck)
	}

	tables := r.Tables(s)
	require.Len(t, tables, 2)
	for _, table := range tables {
		require.NoError(t, table.Validate())
	}
	require.Contains(t, tables[0].Title,
		"3 nodes in one process, 60 names from the start, 200 changes/s for 1.5 s. Nothing is disturbed.")
	require.Contains(t, r.Finding(s), "With 8 partitions: a registration was visible")
	columns := make(map[string]bool)
	for _, series := range r.AllSeries() {
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
	for _, resolver := range []scenario.Resolver{scenario.Newest, scenario.Oldest} {
		t.Run(resolver.String(), func(t *testing.T) {
			s := small(t, scenario.DisturbSplit)
			s.Registry.Resolver = resolver
			r := execute(t, s)
			x := r.Runs[0]
			require.Equal(t, Conflicts{Names: 20, Both: 20, Losers: 20, Told: 20, Apart: x.Conflicts.Apart},
				x.Conflicts)
			require.Len(t, x.Struck, 1)
			require.True(t, x.Whole.Exists())
			require.Positive(t, float64(x.Visible.During.Max))

			charts := r.Charts(s)
			require.Equal(t, "Names visible", charts[0].Title)
			require.Equal(t, []report.Window{{From: 0.3, To: 1.2, Label: "split: " + x.Struck[0] +
				" cut off"}}, charts[0].Windows)
			require.Equal(t, "whole again", charts[0].Marks[0].Label)
			require.Len(t, charts[0].Lines, 4)
		})
	}
}

func TestKillInProcesses(t *testing.T) {
	s := small(t, scenario.DisturbKill)
	s.Registry.Processes = true
	r := execute(t, s)
	x := r.Runs[0]
	require.Positive(t, x.Died)
	require.GreaterOrEqual(t, x.Counts.NodesDown, uint64(2), "both of the others must have found out")
	require.True(t, x.Whole.Exists())
	require.Contains(t, r.Tables(s)[0].Title, "3 nodes in processes of their own")
	require.Contains(t, r.Tables(s)[0].Title, x.Struck[0]+" is killed.")
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var back struct {
		Runs []struct {
			Struck []string
			Audit  struct{ Zombies int }
		}
	}
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, x.Struck, back.Runs[0].Struck)
}

func TestRestart(t *testing.T) {
	for _, processes := range []bool{false, true} {
		s := small(t, scenario.DisturbRestart)
		s.Registry.Processes = processes
		x := execute(t, s).Runs[0]
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
		require.InDelta(t, x.Audit.Names, last(seriesNamesOf+x.Struck[0]), 0,
			"the node that came back shows all names")
		require.InDelta(t, 0, last(seriesBehind), 0)
	}
}

func TestFlapInProcesses(t *testing.T) {
	s := small(t, scenario.DisturbFlap)
	s.Disturb.Nodes = 3
	s.Registry.Processes = true
	require.True(t, execute(t, s).Runs[0].Whole.Exists())
}

func TestSkew(t *testing.T) {
	s := small(t, scenario.DisturbSkew)
	r, err := Execute(t.Context(), Config{Scenario: s})
	if errors.Is(err, errNoClock) {
		t.Skip("this registry has no clock that can be set")
	}
	require.NoError(t, err)
	for _, c := range r.Checks(s) {
		assert.True(t, c.OK, "%s: %s", c.Name, c.Detail)
	}
}

func TestOneNode(t *testing.T) {
	s := small(t, scenario.DisturbNone)
	s.Registry.Nodes, s.Registry.Contested = 1, 0
	r, err := Execute(t.Context(), Config{Scenario: s})
	require.NoError(t, err)
	for _, c := range r.Checks(s) {
		assert.True(t, c.OK, "%s: %s", c.Name, c.Detail)
	}
	require.Zero(t, r.Runs[0].Visible.Before.Count, "there is no other node")
}

func TestStopped(t *testing.T) {
	s := small(t, scenario.DisturbSplit)
	s.Duration, s.Disturb.End = time.Minute, time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Execute(ctx, Config{Scenario: s, Progress: func(p Progress) {
		if p.Doing == Running && p.Elapsed > 500*time.Millisecond {
			cancel()
		}
	}})
	require.NoError(t, err)
	require.True(t, r.Partial)
	require.Len(t, r.Runs, 1)
	x := r.Runs[0]
	require.Nil(t, x.Audit)
	require.Less(t, float64(x.Seconds), 60.0)
	require.Contains(t, r.Finding(s), "The run was stopped")
	failed := 0
	for _, c := range r.Checks(s) {
		if !c.OK {
			failed++
		}
	}
	require.Positive(t, failed, "what was not looked at is not passed")
	for _, table := range r.Tables(s) {
		require.NoError(t, table.Validate())
	}
	require.NotEmpty(t, r.Charts(s))

	cancel()
	r, err = Execute(ctx, Config{Scenario: s})
	require.NoError(t, err)
	require.Empty(t, r.Runs)
	require.Contains(t, r.Finding(s), "stopped before there was anything to see")
	require.NotEmpty(t, r.Charts(s))
	require.NotEmpty(t, r.Tables(s))
}

// The run before one that fails has been measured, and is not lost.
func TestRunThatFailsLeavesTheOneBeforeIt(t *testing.T) {
	s := small(t, scenario.DisturbNone)
	s.Registry.Processes, s.Registry.Partitions = true, scenario.Counts{1, 4}
	command := nodeProcess(t)
	r, err := Execute(t.Context(), Config{Scenario: s, Command: command, Progress: func(p Progress) {
		if p.Run == 1 {
			command[0] = "/no/such/program"
		}
	}})
	require.ErrorContains(t, err, "fork/exec /no/such/program")
	require.True(t, r.Partial)
	require.Len(t, r.Runs, 1)
	require.NotEmpty(t, r.Finding(s))
}

func TestWhatCanNotBeRun(t *testing.T) {
	s := small(t, scenario.DisturbNone)
	s.Registry.Processes = true
	_, err := Execute(t.Context(), Config{Scenario: s})
	require.EqualError(t, err, "clusterload: no command for the nodes' processes")

	_, err = Execute(t.Context(), Config{Scenario: s, Command: []string{"/no/such/program"}})
	require.ErrorContains(t, err, "node node-01: fork/exec /no/such/program")

	// A process that is none of ours says so, and is not waited for.
	_, err = Execute(t.Context(),
		Config{Scenario: s, Command: []string{nodeProcess(t)[0], "-test.run=^$"}})
	require.ErrorContains(t, err, "node node-01: its process has ended")

	for _, tt := range []struct {
		change func(*scenario.Scenario)
		want   string
	}{
		{func(s *scenario.Scenario) { s.Kind = scenario.KindCache }, "kind: must be registry, got cache"},
		{func(s *scenario.Scenario) { s.Duration, s.Disturb.Start, s.Disturb.End = 200e6, 10e6, 200e6 },
			"duration: must be at least 500ms"},
		{func(s *scenario.Scenario) { s.Disturb.End = s.Disturb.Start + 1 },
			"disturb.end: must be at least 100ms after disturb.start"},
		{func(s *scenario.Scenario) { s.Registry.Nodes = 0 },
			"registry.nodes: must be from 1 to 64, got 0"},
	} {
		s := small(t, scenario.DisturbNone)
		tt.change(s)
		_, err := Execute(t.Context(), Config{Scenario: s})
		require.ErrorContains(t, err, tt.want)
	}
}

// A node's process that ends by itself ends the run, with what it had to say.
func TestLostProcess(t *testing.T) {
	s := small(t, scenario.DisturbNone)
	s.Registry.Processes = true
	s.Duration = time.Minute
	s.Disturb.End = time.Minute
	r := newRun(Config{Scenario: s, Command: nodeProcess(t)}, 0, 4)
	killed := false
	r.config.Progress = func(p Progress) {
		if p.Doing == Running && !killed {
			killed = true
			n, _ := r.cluster.members[1].get()
			p, ok := n.(*processNode)
			require.True(t, ok)
			require.NoError(t, p.Kill())
		}
	}
	_, err := r.execute(t.Context())
	require.ErrorContains(t, err, "node node-02: its process has ended: signal: killed")
}

func TestBuiltin(t *testing.T) {
	for _, name := range scenario.Disturbances() {
		s, err := Builtin(name)
		require.NoError(t, err)
		require.Equal(t, name, s.Disturb.Kind.String())
		require.NoError(t, Validate(s))
		require.Contains(t, Story(s), "A registry of names")
	}
	_, err := Builtin("spilt")
	require.EqualError(t, err, `must be one of none, kill, restart, split, flap, skew, got "spilt" (did you mean split?)`)
}

func TestGlossary(t *testing.T) {
	for _, term := range Glossary() {
		require.NotEmpty(t, term.Row)
		require.NotEmpty(t, term.Meaning)
	}
}
