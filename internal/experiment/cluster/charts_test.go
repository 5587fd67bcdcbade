package cluster

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/report"
)

func TestCharts(t *testing.T) {
	p, r := sampleRuns()
	var titles []string
	for _, chart := range r.charts(p) {
		titles = append(titles, chart.Title)
		require.Len(t, chart.Lines, 3, chart.Title)
		assert.Equal(t, "by key", chart.Lines[0].Name)
		assert.Equal(t, "by ring", chart.Lines[1].Name)
		assert.Equal(t, "no cluster", chart.Lines[2].Name)
		assert.Equal(t, []report.Window{{From: 3, To: 6, Label: "split: node-2 cut off"}}, chart.Windows)
		assert.Empty(t, chart.Marks)
		assert.NotEmpty(t, chart.Caption)
	}
	assert.Equal(t, []string{
		"Loads by the origin", "Latency of a fetch, p99", "Latency of a fetch, p50",
		"Loads without the owner", "Fetches",
	}, titles, "errors, of which there were none, are left out")
	first := r.charts(p)[0]
	assert.True(t, first.Wide)
	assert.Equal(t, r.Runs[1].Series[0].Points, first.Lines[1].Points)
	assert.Equal(t, seriesLoads, r.Runs[1].Series[0].Name, "the result stays as it is")
}

func TestShade(t *testing.T) {
	p, r := sampleRuns()
	for d, want := range map[lab.Disturbance]string{
		lab.Restart: "node-2 down", lab.Pause: "node-2 stopped",
		lab.Rolling:    "one after the other restarted",
		lab.OriginSlow: "origin slow", lab.OriginFail: "origin fails",
	} {
		p.Disturb = d
		assert.Equal(t, []report.Window{{From: 3, To: 6, Label: want}}, r.charts(p)[0].Windows)
	}
	p.Disturb = lab.Kill
	assert.Equal(t, []report.Mark{{At: 3, Label: "node-2 killed"}}, r.charts(p)[0].Marks)
	assert.Empty(t, r.charts(p)[0].Windows, "they stay away")
	p.Disturb = lab.Calm
	assert.Empty(t, r.charts(p)[0].Windows)
}

func TestAllSeries(t *testing.T) {
	_, r := sampleRuns()
	var names []string
	for _, s := range r.allSeries() {
		names = append(names, s.Name)
	}
	assert.Len(t, names, 18)
	assert.Contains(t, names, "key_origin_loads_per_second")
	assert.Contains(t, names, "none_local_loads_per_second")
	assert.Equal(t, seriesLoads, r.Runs[0].Series[0].Name, "the result stays as it is")
}

func TestReport(t *testing.T) {
	p, r := sampleRuns()
	var b strings.Builder
	require.NoError(t, sampleReport(p, r).WriteHTML(&b))
	for _, part := range []string{
		"Cluster cache: the network splits and heals", "3 nodes share a cache", "Loads by the origin",
		"split: node-2 cut off", "no cluster",
		"origin loads against the ideal", "each load has a reason",
	} {
		//nolint:testifylint // would print the page
		assert.True(t, strings.Contains(b.String(), part), "the page must have %q", part)
	}
}
