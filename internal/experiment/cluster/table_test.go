package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/workload"
)

func tableText(t *testing.T, p *Params, r *Result) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, r.table(p).Validate())
	require.NoError(t, r.table(p).WriteText(&b, table.Style{}))
	return b.String()
}

func TestTable(t *testing.T) {
	p, r := sampleRuns()
	r.Runs[1].During.Errors = map[string]uint64{"deadline": 3, "overloaded": 9}
	r.Runs[1].After.Errors = map[string]uint64{"deadline": 1}
	assert.Equal(t, golden, tableText(t, p, r))
}

// Errors are listed by their number, also by one that an int of 32 bits can't hold.
func TestErrorList(t *testing.T) {
	x := Run{During: Phase{Errors: map[string]uint64{"few": 1, "most": 1 << 32, "as few": 1}}}
	require.Equal(t, "4,294,967,296 most, 1 as few, 1 few", x.errorList())
}

func TestTableOfOneRun(t *testing.T) {
	p, r := sampleRuns()
	p.Ownerships, r.Runs = p.Ownerships[:1], r.Runs[:1]
	got := tableText(t, p, r)
	assert.NotContains(t, got, "against no cluster", "there is nothing to compare with")
	assert.NotContains(t, got, "↓", "there is nothing to compare with")
	r.Runs[0].Heal = measured.None()
	assert.Regexp(t, `time to heal +–`, tableText(t, p, r), "that it did not heal must be said")
	r.Runs[0].Loads = Loads{PerKey: measured.None()}
	r.Runs[0].Before, r.Runs[0].After = Phase{Seconds: measured.None()}, Phase{}
	got = tableText(t, p, r)
	assert.Regexp(t, `loads/s before / during / after +– / 133 / –`, got)
	assert.NotContains(t, got, "NaN")
}

func TestTableOfACalmRun(t *testing.T) {
	p, r := sampleRuns()
	p.Disturb = lab.Calm
	for _, x := range r.Runs {
		x.During, x.After, x.Heal = Phase{Seconds: measured.None()}, Phase{Seconds: measured.None()},
			measured.None()
		x.Before.Errors = map[string]uint64{"load": 7}
	}
	got := tableText(t, p, r)
	assert.Regexp(t, `(?m)^loads/s +100 +100 +100$`, got)
	assert.Regexp(t, `(?m)^latency: p50 / p99 ↓ +200 µs / 5.0 ms `, got)
	assert.Regexp(t, `(?m)^errors ↓ +7 +7 +7$`, got)
	for _, word := range []string{"before", "during", "heal"} {
		assert.NotContains(t, got, word, "it has no phases")
	}
}

func TestTableOfNothing(t *testing.T) {
	p, r := sampleRuns()
	r.Runs = nil
	assert.Contains(t, tableText(t, p, r), "3 processes, 200 keys")
	assert.Equal(t, "The run was stopped before there was anything to see.", r.finding(p))
	assert.NotEmpty(t, r.charts(p), "its first chart is written into a file")
}

func TestFinding(t *testing.T) {
	p, r := sampleRuns()
	assert.Equal(t, "By key the origin was asked 1,040 times, 1.04 times the ideal and 36 % of what "+
		"it takes without a cluster; it healed after 1.5 s. "+
		"By ring the origin was asked 1,300 times, 1.30 times the ideal and 45 % of what it takes "+
		"without a cluster; it healed after 1.5 s. "+
		"Without a cluster the origin was asked 2,900 times, 2.90 times the ideal. "+
		"No value was wrong or stale, and no fetch late.", r.finding(p))

	r.Runs[1].Heal = measured.None()
	assert.Contains(t, r.finding(p),
		"45 % of what it takes without a cluster; it had not healed by the end. Without")

	r.Partial = true
	r.Runs = r.Runs[:1]
	r.Runs[0].Wrong, r.Runs[0].Late = 10, 3
	r.Runs[0].During.Errors = map[string]uint64{"deadline": 5}
	p.Disturb = lab.Calm
	assert.Equal(t, "The run was stopped: what is above is a part of what was to be measured. "+
		"By key the origin was asked 1,040 times, 1.04 times the ideal; 5 of 15,000 fetches failed. "+
		"Promises were broken: 10 wrong values, 3 late fetches.", r.finding(p))

	p, r = sampleRuns()
	r.Runs[2].Loads.Total = 0
	assert.NotContains(t, r.finding(p), "of what it takes")

	r.Runs[0].Loads = Loads{}
	assert.Contains(t, r.finding(p), "By key nothing was loaded.")

	p, r = sampleRuns()
	r.Runs[0].Poison = &PoisonResult{Deaths: 2}
	r.Runs[1].Poison = &PoisonResult{Deaths: p.Nodes}
	assert.Contains(t, r.finding(p), "; the poisoned key ended 2 nodes; it healed")
	assert.Contains(t, r.finding(p),
		"; the poisoned key ended all nodes, and their callers with them;")
}

func TestCourse(t *testing.T) {
	p, r := sampleRuns()
	for d, want := range map[lab.Disturbance]string{
		lab.Calm:    "Nothing is disturbed",
		lab.Kill:    "At 3 s node-2 is killed",
		lab.Restart: "At 3 s node-2 is killed, and started again at 6 s",
		lab.Pause:   "From 3 s to 6 s node-2 is stopped, as a process that hangs",
		lab.Split:   "From 3 s to 6 s node-2 is cut off from the others",
		lab.Rolling: "From 3 s to 6 s one node after the other is ended in good order and " +
			"started again",
		lab.OriginSlow: "From 3 s to 6 s the origin is slow",
		lab.OriginFail: "From 3 s to 6 s the origin fails",
	} {
		p.Disturb = d
		assert.Equal(t, want, course(p, r))
		assert.Contains(t, title(p, r), want+".")
		assert.Contains(t, story(p, r), want+".")
		assert.NotEmpty(t, d.Headline())
	}
	p.Disturb, p.Victims = lab.Kill, 2
	assert.Equal(t, "At 3 s 2 nodes are killed", course(p, &Result{}), "before it is known which")
	r.Runs[1].Victims = []string{"node-1", "node-3"}
	assert.Equal(t, "At 3 s 2 nodes are killed", course(p, r), "they differ from run to run")
	uniform := workload.KeySpec{Kind: workload.KindUniform}
	assert.Contains(t, title(&Params{Nodes: 1, TTL: time.Minute, Keys: uniform}, r),
		"1 process, 0 keys (all alike), 0 fetches/s on each for 0 s, TTL 1 min")
}

func TestGlossary(t *testing.T) {
	seen := make(map[string]bool)
	for _, term := range lab.Glossary(measures) {
		assert.NotEmpty(t, term.Meaning, term.Row)
		assert.False(t, seen[term.Row], term.Row)
		seen[term.Row] = true
	}
	p, r := sampleRuns()
	for _, row := range r.table(p).Rows {
		assert.True(t, seen[row.Cells[0].String()])
	}
}
