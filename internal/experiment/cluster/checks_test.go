package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/series"
)

// failing names the checks that did not hold, with what was seen.
func failing(checks []report.Check) map[string]string {
	failed := make(map[string]string)
	for _, c := range checks {
		if !c.OK {
			failed[c.Name] = c.Detail
		}
	}
	return failed
}

// one is the sample's run by key alone.
func one() (*Params, *Result) {
	p, r := sampleRuns()
	p.Ownerships, r.Runs = p.Ownerships[:1], r.Runs[:1]
	return p, r
}

func TestChecksHold(t *testing.T) {
	p, r := sampleRuns()
	checks := r.checks(p)
	assert.Empty(t, failing(checks), "without a cluster nothing is promised of healing")
	var names []string
	for _, check := range checks {
		names = append(names, check.Name)
		assert.NotEmpty(t, check.Detail)
	}
	assert.Contains(t, names, "by key: each load has a reason")
	assert.Contains(t, names, "by ring: heals soon after the disturbance")
	assert.Contains(t, names, "no cluster: each load has a reason", "each node is held to the TTL")
	assert.NotContains(t, names, "no cluster: heals soon after the disturbance")
	assert.Contains(t, names, "no cluster: no value is wrong or stale")
}

func TestChecksFail(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*Params, *Result, *Run)
		want  string
	}{
		"no value is wrong or stale": {func(_ *Params, _ *Result, x *Run) { x.Wrong, x.Stale = 1, 2 },
			"15,000 fetches: 1 wrong, 2 stale"},
		"no fetch is late": {func(_ *Params, _ *Result, x *Run) { x.Late = 1 },
			"1 went on after the deadline of 3 s"},
		"no error without a reason": {func(_ *Params, _ *Result, x *Run) { x.Failure = "node-1: no" },
			"0 of 15,000 fetches failed; for example: node-1: no"},
		"each load has a reason": {func(_ *Params, _ *Result, x *Run) {
			x.Loads.Broken = []string{"a", "b", "c", "d"}
		},
			"4 of 1,040 have none: a; b; c"},
		"heals soon after the disturbance": {func(_ *Params, _ *Result, x *Run) { x.Heal = 10.1 },
			"after 10.1 s; wanted: at most 10 s"},
		"the runs went to their end": {func(_ *Params, r *Result, _ *Run) { r.Partial = true },
			"they were stopped"},
	} {
		p, r := one()
		tt.spoil(p, r, r.Runs[0])
		assert.Equal(t, map[string]string{name: tt.want}, failing(r.checks(p)))
	}
	p, r := one()
	r.Runs[0].Heal = measured.None()
	assert.Equal(t, map[string]string{
		"heals soon after the disturbance": "after –; wanted: at most 10 s",
	}, failing(r.checks(p)))
	p.Ownerships = []Ownership{ByKey, BySlot, None}
	assert.Equal(t, "2 did not", failing(r.checks(p))["every run took place"])
}

func TestChecksOfValues(t *testing.T) {
	for _, spoil := range []func(*Run){
		func(x *Run) { x.Wrong = 1 },
		func(x *Run) { x.Stale = 1 },
		func(x *Run) { x.Fetches = 0 },
		func(x *Run) { x.Loads.Total = 0 },
	} {
		p, r := one()
		spoil(r.Runs[0])
		assert.Contains(t, failing(r.checks(p)), "no value is wrong or stale")
	}
}

func TestChecksOfErrors(t *testing.T) {
	p, r := one()
	r.Runs[0].During.Errors = map[string]uint64{"no": 3}
	assert.Empty(t, failing(r.checks(p)), "the engine found a reason for them")
	for _, tt := range []struct {
		disturb lab.Disturbance
		kind    string
		want    string
	}{
		{lab.Kill, errorDeadline, ""},
		{lab.Kill, errorOverloaded, ""},
		{lab.Kill, errorLoad, "3 by an origin that never failed"},
		{lab.OriginFail, errorLoad, ""},
		{lab.OriginFail, errorDeadline, "3 past their deadline, though no node was a victim and " +
			"loads ended in time"},
		{lab.OriginSlow, errorDeadline, "3 past their deadline, though no node was a victim and " +
			"loads ended in time"},
	} {
		p.Disturb, r.Runs[0].During.Errors, r.Runs[0].Loads.Total = tt.disturb,
			map[string]uint64{tt.kind: 3}, 1000
		got := failing(r.checks(p))["no error without a reason"]
		if tt.want != "" {
			tt.want = "3 of 15,000 fetches failed; " + tt.want
		}
		assert.Equal(t, tt.want, got, "%s: %s", tt.disturb, tt.kind)
	}
	p.Timeout = time.Second
	assert.Empty(t, failing(r.checks(p)), "a slow load takes as long as that")

	p, r = one()
	r.Runs[0].During.Errors = map[string]uint64{"no": 3}
	errors := &r.Runs[0].Series[3]
	require.Equal(t, seriesErrors, errors.Name)
	p.Start = 6 * time.Second // the deadline is 3 s
	errors.Points = []series.Point{{T: 2.9, V: 5}, {T: 4, V: 5}}
	assert.Empty(t, failing(r.checks(p)), "they may have been under way")
	errors.Points[0].T = 2.7
	assert.Equal(t, map[string]string{"no error without a reason": "3 of 15,000 fetches failed; " +
		"some before anything was disturbed"}, failing(r.checks(p)))
	p.OriginErrors = 0.1
	assert.Empty(t, failing(r.checks(p)), "loads fail from the start")

	p.OriginErrors, p.Disturb, r.Runs[0].Loads.Total = 0, lab.Calm, 1000
	errors.Points = nil
	assert.Contains(t, failing(r.checks(p)), "no error without a reason", "nothing is disturbed")
	r.Runs[0].During.Errors = nil
	assert.Empty(t, failing(r.checks(p)))
}

// Nothing is promised of caches that hold fewer than all keys.
func TestNoReasonsAreAskedOfSmallCaches(t *testing.T) {
	p, r := sampleRuns()
	r.Runs[0].Loads.Reasons = nil
	for _, check := range r.checks(p) {
		assert.NotEqual(t, "by key: each load has a reason", check.Name)
	}
	assert.Regexp(t, `loads without a reason ↓ +– +0 +0`, tableText(t, p, r))
}
