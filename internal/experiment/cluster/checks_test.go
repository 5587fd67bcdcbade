package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
func one() (Config, *Result) {
	c, r := sampleRuns()
	c.Ownerships, r.Runs = c.Ownerships[:1], r.Runs[:1]
	return c, r
}

func TestChecksHold(t *testing.T) {
	c, r := sampleRuns()
	checks := r.Checks(c)
	assert.Empty(t, failing(checks), "without a cluster nothing is promised of healing")
	var names []string
	for _, check := range checks {
		names = append(names, check.Name)
		assert.NotEmpty(t, check.Detail)
	}
	assert.Contains(t, names, "by key: each load has a reason")
	assert.Contains(t, names, "by ring: as before soon after the disturbance")
	assert.Contains(t, names, "no cluster: each load has a reason", "each node is held to the TTL")
	assert.NotContains(t, names, "no cluster: as before soon after the disturbance")
	assert.Contains(t, names, "no cluster: no value is wrong or stale")
}

func TestChecksFail(t *testing.T) {
	for name, tt := range map[string]struct {
		harm func(*Config, *Result, *Run)
		want string
	}{
		"no value is wrong or stale": {func(_ *Config, _ *Result, x *Run) { x.Wrong, x.Stale = 1, 2 },
			"15,000 fetches: 1 wrong, 2 stale"},
		"no fetch is late": {func(_ *Config, _ *Result, x *Run) { x.Late = 1 },
			"1 went on after the deadline of 3 s"},
		"no error without a reason": {func(_ *Config, _ *Result, x *Run) { x.Failure = "node-1: no" },
			"0 of 15,000 fetches failed; for example: node-1: no"},
		"each load has a reason": {func(_ *Config, _ *Result, x *Run) {
			x.Loads.Broken = []string{"a", "b", "c", "d"}
		},
			"4 of 1,040 have none: a; b; c"},
		"as before soon after the disturbance": {func(_ *Config, _ *Result, x *Run) { x.Heal = 10.1 },
			"after 10.1 s; wanted: at most 10 s"},
		"the runs went to their end": {func(_ *Config, r *Result, _ *Run) { r.Partial = true },
			"they were stopped"},
	} {
		c, r := one()
		tt.harm(&c, r, r.Runs[0])
		assert.Equal(t, map[string]string{name: tt.want}, failing(r.Checks(c)))
	}
	c, r := one()
	r.Runs[0].Heal = measured.None()
	assert.Equal(t, map[string]string{
		"as before soon after the disturbance": "after –; wanted: at most 10 s",
	}, failing(r.Checks(c)))
	c.Ownerships = []Ownership{ByKey, BySlot, None}
	assert.Equal(t, "2 did not", failing(r.Checks(c))["every run took place"])
}

func TestChecksOfValues(t *testing.T) {
	for _, spoil := range []func(*Run){
		func(x *Run) { x.Wrong = 1 },
		func(x *Run) { x.Stale = 1 },
		func(x *Run) { x.Fetches = 0 },
		func(x *Run) { x.Loads.Total = 0 },
	} {
		c, r := one()
		spoil(r.Runs[0])
		assert.Contains(t, failing(r.Checks(c)), "no value is wrong or stale")
	}
}

func TestChecksOfErrors(t *testing.T) {
	c, r := one()
	r.Runs[0].During.Errors = map[string]uint64{"no": 3}
	assert.Empty(t, failing(r.Checks(c)), "the engine found a reason for them")
	for _, tt := range []struct {
		disturb Disturb
		kind    string
		want    string
	}{
		{Kill, errorDeadline, ""},
		{Kill, errorOverloaded, ""},
		{Kill, errorLoad, "3 by an origin that never failed"},
		{OriginFail, errorLoad, ""},
		{OriginFail, errorDeadline, "3 past their deadline, though no node was struck and loads ended " +
			"in time"},
		{OriginSlow, errorDeadline, "3 past their deadline, though no node was struck and loads ended " +
			"in time"},
	} {
		c.Disturb, r.Runs[0].During.Errors, r.Runs[0].Loads.Total = tt.disturb,
			map[string]uint64{tt.kind: 3}, 1000
		got := failing(r.Checks(c))["no error without a reason"]
		if tt.want != "" {
			tt.want = "3 of 15,000 fetches failed; " + tt.want
		}
		assert.Equal(t, tt.want, got, "%s: %s", tt.disturb, tt.kind)
	}
	c.Deadline = time.Second
	assert.Empty(t, failing(r.Checks(c)), "a slow load takes as long as that")

	c, r = one()
	r.Runs[0].During.Errors = map[string]uint64{"no": 3}
	errors := &r.Runs[0].Series[3]
	require.Equal(t, SeriesErrors, errors.Name)
	c.Start = 6 * time.Second // the deadline is 3 s
	errors.Points = []series.Point{{T: 2.9, V: 5}, {T: 4, V: 5}}
	assert.Empty(t, failing(r.Checks(c)), "they may have been under way")
	errors.Points[0].T = 2.7
	assert.Equal(t, map[string]string{"no error without a reason": "3 of 15,000 fetches failed; " +
		"some before anything was disturbed"}, failing(r.Checks(c)))
	c.OriginErrors = 0.1
	assert.Empty(t, failing(r.Checks(c)), "loads fail from the start")

	c.OriginErrors, c.Disturb, r.Runs[0].Loads.Total = 0, Calm, 1000
	errors.Points = nil
	assert.Contains(t, failing(r.Checks(c)), "no error without a reason", "nothing is disturbed")
	r.Runs[0].During.Errors = nil
	assert.Empty(t, failing(r.Checks(c)))
}

// Nothing is promised of caches that hold fewer than all keys.
func TestNoReasonsAreAskedOfSmallCaches(t *testing.T) {
	c, r := sampleRuns()
	r.Runs[0].Loads.Reasons = nil
	for _, check := range r.Checks(c) {
		assert.NotEqual(t, "by key: each load has a reason", check.Name)
	}
	assert.Regexp(t, `loads without a reason ↓ +– +0 +0`, tableText(t, c, r))
}
