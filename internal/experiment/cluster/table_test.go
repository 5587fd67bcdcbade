package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/table"
)

func tableText(t *testing.T, c Config, r *Result) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, r.Table(c).Validate())
	require.NoError(t, r.Table(c).WriteText(&b, table.Style{}))
	return b.String()
}

func TestTable(t *testing.T) {
	c, r := sampleRuns()
	r.Runs[1].During.Errors = map[string]uint64{"deadline": 3, "overloaded": 9}
	r.Runs[1].After.Errors = map[string]uint64{"deadline": 1}
	assert.Equal(t, golden, tableText(t, c, r))
}

// Errors are listed by their number, also by one that an int of 32 bits can't hold.
func TestErrorList(t *testing.T) {
	x := Run{During: Phase{Errors: map[string]uint64{"few": 1, "most": 1 << 32, "as few": 1}}}
	require.Equal(t, "4,294,967,296 most, 1 as few, 1 few", x.errorList())
}

func TestTableOfOneRun(t *testing.T) {
	c, r := sampleRuns()
	c.Ownerships, r.Runs = c.Ownerships[:1], r.Runs[:1]
	got := tableText(t, c, r)
	assert.NotContains(t, got, "against no cluster", "there is nothing to compare with")
	assert.NotContains(t, got, "↓", "there is nothing to compare with")
	r.Runs[0].Heal = measured.None()
	assert.Regexp(t, `time to heal +–`, tableText(t, c, r), "that it did not heal must be said")
	r.Runs[0].Loads = Loads{PerKey: measured.None()}
	r.Runs[0].Before, r.Runs[0].After = Phase{Seconds: measured.None()}, Phase{}
	got = tableText(t, c, r)
	assert.Regexp(t, `loads/s before / during / after +– / 133 / –`, got)
	assert.NotContains(t, got, "NaN")
}

func TestTableOfACalmRun(t *testing.T) {
	c, r := sampleRuns()
	c.Disturb = Calm
	for _, x := range r.Runs {
		x.During, x.After, x.Heal = Phase{Seconds: measured.None()}, Phase{Seconds: measured.None()},
			measured.None()
		x.Before.Errors = map[string]uint64{"load": 7}
	}
	got := tableText(t, c, r)
	assert.Regexp(t, `(?m)^loads/s +100 +100 +100$`, got)
	assert.Regexp(t, `(?m)^latency: p50 / p99 ↓ +200 µs / 5.0 ms `, got)
	assert.Regexp(t, `(?m)^errors ↓ +7 +7 +7$`, got)
	for _, word := range []string{"before", "during", "heal"} {
		assert.NotContains(t, got, word, "it has no phases")
	}
}

func TestTableOfNothing(t *testing.T) {
	c, r := sampleRuns()
	r.Runs = nil
	assert.Contains(t, tableText(t, c, r), "3 processes, 200 keys")
	assert.Equal(t, "The run was stopped before there was anything to see.", r.Finding(c))
	assert.NotEmpty(t, r.Report(c).Charts, "its first chart is written into a file")
}

func TestFinding(t *testing.T) {
	c, r := sampleRuns()
	assert.Equal(t, "By key the origin was asked 1,040 times, 1.04 times the ideal and 36 % of what "+
		"it takes without a cluster; all was as before after 1.5 s. "+
		"By ring the origin was asked 1,300 times, 1.30 times the ideal and 45 % of what it takes "+
		"without a cluster; all was as before after 1.5 s. "+
		"Without a cluster the origin was asked 2,900 times, 2.90 times the ideal. "+
		"No value was wrong or stale, and no fetch late.", r.Finding(c))

	r.Runs[1].Heal = measured.None()
	assert.Contains(t, r.Finding(c),
		"45 % of what it takes without a cluster; not all was as before by the end. Without")

	r.Partial = true
	r.Runs = r.Runs[:1]
	r.Runs[0].Wrong, r.Runs[0].Late = 10, 3
	r.Runs[0].During.Errors = map[string]uint64{"deadline": 5}
	c.Disturb = Calm
	assert.Equal(t, "The run was stopped: what is above is a part of what was to be measured. "+
		"By key the origin was asked 1,040 times, 1.04 times the ideal; 5 of 15,000 fetches failed. "+
		"Promises were broken: 10 wrong values, 3 late fetches.", r.Finding(c))

	c, r = sampleRuns()
	r.Runs[2].Loads.Total = 0
	assert.NotContains(t, r.Finding(c), "of what it takes")

	r.Runs[0].Loads = Loads{}
	assert.Contains(t, r.Finding(c), "By key nothing was loaded.")

	c, r = sampleRuns()
	r.Runs[0].Poison = &PoisonResult{Deaths: 2}
	r.Runs[1].Poison = &PoisonResult{Deaths: c.Nodes}
	assert.Contains(t, r.Finding(c), "; the poisoned key ended 2 nodes; all was as before")
	assert.Contains(t, r.Finding(c), "; the poisoned key ended all nodes, and their callers with them;")
}

func TestHarm(t *testing.T) {
	c, r := sampleRuns()
	for d, want := range map[Disturb]string{
		Calm:       "Nothing is disturbed",
		Kill:       "At 3 s node-2 is killed",
		Restart:    "At 3 s node-2 is killed, and started again at 6 s",
		Pause:      "From 3 s to 6 s node-2 is stopped, as a process that hangs",
		Split:      "From 3 s to 6 s node-2 is cut off from the others",
		Rolling:    "From 3 s to 6 s one node after the other is ended in good order and started again",
		OriginSlow: "From 3 s to 6 s the origin is slow",
		OriginFail: "From 3 s to 6 s the origin fails",
	} {
		c.Disturb = d
		assert.Equal(t, want, harm(c, r))
		assert.Contains(t, title(c, r), want+".")
		assert.Contains(t, r.story(c), want+".")
		assert.NotEmpty(t, Headline(c))
	}
	c.Disturb, c.Victims = Kill, 2
	assert.Equal(t, "At 3 s 2 nodes are killed", harm(c, nil), "before it is known which")
	r.Runs[1].Struck = []string{"node-1", "node-3"}
	assert.Equal(t, "At 3 s 2 nodes are killed", harm(c, r), "they differ from run to run")
	assert.Contains(t, title(Config{Nodes: 1, TTL: time.Minute}, r),
		"1 process, 0 keys (all alike), 0 fetches/s on each for 0 s, TTL 1 min")
}

func TestGlossary(t *testing.T) {
	seen := make(map[string]bool)
	for _, term := range Glossary() {
		assert.NotEmpty(t, term.Meaning, term.Row)
		assert.False(t, seen[term.Row], term.Row)
		seen[term.Row] = true
	}
	c, r := sampleRuns()
	for _, row := range r.Table(c).Rows {
		assert.True(t, seen[row.Cells[0].String()])
	}
}
