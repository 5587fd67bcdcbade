package store

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/valkeytest"
)

func short(d disturbance) *Params {
	p := Experiment.Defaults()
	p.Disturb, p.Duration, p.Rate, p.Workers, p.KeyCount = d, 2*time.Second, 500, 60, 50
	p.Start, p.End, p.Deploy, p.TTL = 400*time.Millisecond, 800*time.Millisecond, time.Second, time.Second
	p.Timeout = time.Minute // the machine may be busy
	return &p
}

// Whatever is done to the server, no caller gets an error, and what was loaded before the deploy is
// found after it, if the server did not lose it.
func TestRun(t *testing.T) {
	if _, ok := valkeytest.Find(); !ok {
		t.Skip(valkeytest.ErrNotInstalled)
	}
	for _, d := range []disturbance{none, kill, pause, empty, garbage} {
		t.Run(string(d), func(t *testing.T) {
			if testing.Short() && d != none && d != garbage {
				t.Skip("it takes some seconds")
			}
			if d == pause && !valkeytest.Pausable {
				t.Skip("this system can't pause a process")
			}
			p := short(d)
			r, err := Run(t.Context(), p, lab.Env{Progress: func(float64, string) {}})
			require.NoError(t, err)
			require.Len(t, r.Runs, 2)
			without, with := r.Runs[0], r.Runs[1]
			for _, l := range r.Runs {
				assert.Zero(t, l.Errors, l.Example)
				assert.EqualValues(t, 1000, l.Fetches)
				assert.Positive(t, l.Loads)
			}
			assert.Empty(t, without.Counts)
			assert.Positive(t, with.Counts["hits"])
			if d == none {
				assert.Less(t, with.Renewed, without.Renewed)
			}
			if d == garbage && with.Counts["errors"] == 0 { // or the machine is too busy to read it in time
				assert.Positive(t, with.Counts["rejected"])
			}
			shown := page(p, r)
			assert.NotContains(t, shown.Finding, "stopped")
			assert.GreaterOrEqual(t, len(shown.Charts), 3)
		})
	}
}

func TestStopped(t *testing.T) {
	if _, ok := valkeytest.Find(); !ok {
		t.Skip(valkeytest.ErrNotInstalled)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	p := short(none)
	r, err := Run(ctx, p, lab.Env{Progress: func(float64, string) {}})
	require.NoError(t, err)
	shown := page(p, r)
	assert.True(t, shown.Partial)
	assert.Contains(t, shown.Finding, "stopped")
	for _, c := range shown.Checks {
		assert.False(t, c.OK, c.Name)
	}
}

// Without a server the error says what to install.
func TestNoServer(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Run(t.Context(), short(none), lab.Env{})
	require.ErrorIs(t, err, errNoServer)
	require.ErrorContains(t, err, "apt-get install redis-server")
}

// Each check fails by its own number alone.
func TestChecksFail(t *testing.T) {
	p := Experiment.Defaults()
	spread := func(s float64) measured.Spread { return measured.Spread{P99: measured.Value(s)} }
	for name, spoil := range map[string]func(without, with *Level){
		"no fetch fails: without":          func(without, _ *Level) { without.Errors = 1 },
		"no fetch fails: second level":     func(_, with *Level) { with.Errors = 1 },
		"the deploy finds what was loaded": func(_, with *Level) { with.Renewed = 2 },
		"a broken server delays callers by the soft time-out at most": func(_, with *Level) {
			with.Times[during] = spread(0.2)
		},
		"the server is used again": func(_, with *Level) { with.Settled = measured.None() },
	} {
		without, with := &Level{Renewed: 3}, &Level{Second: true, Renewed: 1, Settled: measured.Value(1)}
		with.Origin, with.Times[during] = spread(0.06), spread(0.1)
		spoil(without, with)
		for _, c := range (&Result{Runs: []*Level{without, with}}).checks(&p) {
			assert.Equal(t, c.Name != name, c.OK, "%s: %s", name, c.Name)
		}
	}
}

func TestRules(t *testing.T) {
	for line, want := range map[string]string{
		"--deploy 1s":                "--deploy: must be at --end (5s) or later, got 1s",
		"--deploy 1h":                "--deploy: must be before --duration (12s), got 1h",
		"--disturb maybe":            "--disturb",
		"--workers 2":                "--workers: must be at least --processes (3), got 2",
		"--start 4s --end 4s":        "--end: must be after --start (4s), got 4s",
		"--duration 4s --deploy 10s": "--deploy: must be before --duration (4s), got 10s",
	} {
		_, err := Experiment.Parse(strings.Fields(line)...)
		assert.ErrorContains(t, err, want, line)
	}
	p, err := Experiment.Parse("--duration", "6s")
	require.NoError(t, err)
	assert.Equal(t, 4500*time.Millisecond, p.Deploy, "it scales with the duration")
	assert.Equal(t, 1500*time.Millisecond, p.Start)
}
