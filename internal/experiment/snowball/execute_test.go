package snowball

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/trace"
	"github.com/snowfence/snowfence/internal/verdict"
)

// builtin returns the scenario of a fault, changed by flags.
func builtin(t *testing.T, fault string, flags ...string) *Params {
	t.Helper()
	p, err := Experiment.Parse(append(flags, "--fault", fault)...)
	require.NoError(t, err)
	return p
}

// quiet reports no progress.
var quiet = lab.Env{Progress: func(float64, string) {}}

// half is the scenario of a fault at half its size: events are what costs time
// under the race detector.
func half(t *testing.T, fault string) *Params {
	t.Helper()
	p := builtin(t, fault)
	p.Rate /= 2
	p.Workers /= 2
	p.Queue /= 2
	return p
}

// inBubble runs the scenario on a fake clock. The bubble fails the test if a
// goroutine is left.
func inBubble(t *testing.T, p *Params, check func(t *testing.T, r *Result)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := Execute(t.Context(), p, quiet)
		require.NoError(t, err)
		assert.False(t, r.Partial)
		for _, run := range r.runs() {
			assert.Equal(t, run.Offered, run.Served+run.Failed+run.Dropped+run.Unfinished,
				"fix %s: events were lost", run.Fix)
			assert.Equal(t, Value(p.Duration.Seconds()), run.Seconds)
			if run.Fix == Off || p.FetchTimeout > 200*time.Millisecond && p.MaxWaitingPerKey == 0 {
				assert.Zero(t, run.HealthyFailed, "fix %s", run.Fix)
			}
			assert.Less(t, run.HealthyFailed, uint64(20),
				"a short time-out or a low limit hits a few loads of healthy keys")
		}
		assert.Equal(t, r.Off.Offered, r.On.Offered)
		assert.Equal(t, r.Off.Fingerprint, r.On.Fingerprint, "the runs must be offered the same events")
		check(t, r)
	})
}

func TestSnowball(t *testing.T) {
	for fault, toldOn := range map[string]verdict.Kind{
		"panic": verdict.Panic, "goexit": verdict.Goexit, "child": verdict.Panic,
		"hang": verdict.TimedOut,
	} {
		t.Run(fault, func(t *testing.T) {
			p := half(t, fault)
			inBubble(t, p, func(t *testing.T, r *Result) {
				off, on := r.Off, r.On
				assert.Less(t, float64(off.ShareInside), 0.5)
				assert.InDelta(t, 1, float64(on.ShareInside), 0.005)
				assert.Less(t, float64(off.ShareAfter), 0.5, "dead flights outlive the fault")
				assert.InDelta(t, 1, float64(on.ShareAfter), 0.005)

				assert.Equal(t, p.Timeout, off.Learn.P50.Duration().Round(10*time.Millisecond))
				assert.LessOrEqual(t, on.Learn.P50.Duration(), p.LearnWithin)
				if fault == "hang" {
					assert.Zero(t, on.AfterDeath.Count, "what hangs does not die")
				} else {
					assert.Zero(t, on.AfterDeath.Max, "the news costs no time on a fake clock")
					assert.Greater(t, off.AfterDeath.P50.Duration(), time.Second)
				}
				assert.Positive(t, on.Told[toldOn])
				assert.Positive(t, off.Told[verdict.Deadline])
				assert.Equal(t, off.Timeouts, off.Told[verdict.Deadline])
				assert.Zero(t, on.Timeouts)

				assert.Equal(t, p.Workers, off.BlockedPeak, "the whole pool waits")
				assert.Equal(t, int64(p.Workers), off.HeldPeak)
				assert.Less(t, on.BlockedPeak, p.Workers)
				assert.Equal(t, p.Queue, off.QueuePeak)
				assert.Positive(t, off.HealthyDropped)
				assert.Zero(t, on.Dropped)
				assert.Greater(t, off.LatencyAfter.P50.Duration(), time.Second, "the time in the queue counts")
				assert.Less(t, on.LatencyInside.P99.Duration(), 100*time.Millisecond)

				assert.Equal(t, Value(p.Fault.Keys), off.DeadKeys)
				assert.Equal(t, Value(0), on.DeadKeys)
				assert.False(t, off.Recovery.Exists())
				assert.Equal(t, Value(0), on.Recovery)
				for _, c := range r.checks(p) {
					assert.True(t, c.OK, "%s: %s", c.Name, c.Detail)
				}
			})
		})
	}
}

func TestNoDifferenceWithoutCrash(t *testing.T) {
	for _, fault := range []string{"none", "error"} {
		t.Run(fault, func(t *testing.T) {
			p := half(t, fault)
			inBubble(t, p, func(t *testing.T, r *Result) { alikeRuns(t, p, r) })
		})
	}
	t.Run("a crash at rate 0", func(t *testing.T) {
		p := half(t, "panic")
		p.Fault.Rate = 0
		inBubble(t, p, func(t *testing.T, r *Result) {
			alikeRuns(t, p, r)
			var failed []string
			for _, c := range r.checks(p) {
				if !c.OK {
					failed = append(failed, c.Name)
				}
			}
			assert.Equal(t, []string{
				"fix off: healthy throughput falls during the fault",
				"fix on: callers of failing keys learn of it soon",
			}, failed, "an effect that is expected and not there must not pass")
		})
	})
}

func alikeRuns(t *testing.T, p *Params, r *Result) {
	t.Helper()
	assert.InEpsilon(t, float64(r.Off.HealthyInside), float64(r.On.HealthyInside), 0.01)
	assert.InEpsilon(t, float64(r.Off.HealthyAfter), float64(r.On.HealthyAfter), 0.01)
	for _, run := range []*Run{r.Off, r.On} {
		assert.InDelta(t, 1, float64(run.ShareInside), 0.005,
			"nothing was lost, so it must not look like a cost")
		assert.Zero(t, run.Dropped)
		assert.Zero(t, run.Timeouts)
		assert.Equal(t, Value(0), run.DeadKeys)
		assert.Equal(t, Value(0), run.Recovery)
	}
	assert.Contains(t, r.finding(), "Both runs are alike")
	if p.Fault.Rate > 0 {
		// Goroutines are not scheduled alike, so now and then a caller joins a load
		// in one run and just misses it in the other.
		assert.InEpsilon(t, r.Off.Told[verdict.Failed], r.On.Told[verdict.Failed], 0.1)
	}
}

// halfSlow leaves as many of the workers to healthy keys as the whole scenario does.
func halfSlow(t *testing.T) *Params {
	t.Helper()
	p := half(t, "slow")
	p.Fault.Keys /= 2
	p.DropOff = 0.3 // a smaller pool fills up at one time or another
	return p
}

// One caller for each slow key leaves workers for all others. Without that limit the link alone
// does not, if loads have the time that a patient service gives them.
func TestLimitOfCallersPerKey(t *testing.T) {
	p := halfSlow(t)
	inBubble(t, p, func(t *testing.T, r *Result) {
		assert.Greater(t, float64(r.On.ShareInside), 0.99)
		assert.InDelta(t, p.Fault.Keys, r.On.HeldPeak, 3,
			"a worker for each slow key, and some for a moment whose callers are refused")
		assert.Positive(t, r.On.Told[verdict.Overloaded])
		assert.Zero(t, r.Off.Told[verdict.Overloaded], "the limit is a part of the fix")
		assert.Equal(t, int64(p.Workers), r.Off.HeldPeak)
		const said = "With the fix on at most 1 caller may wait for one load"
		assert.Contains(t, story(p), said)
		assert.Equal(t, 1, strings.Count(strings.Join(r.table(p).Notes, "\n"), said))
		for _, c := range r.checks(p) {
			assert.True(t, c.OK, "%s: %s", c.Name, c.Detail)
		}
	})
	p.Cache.MaxWaitingPerKey = 0
	inBubble(t, p, func(t *testing.T, r *Result) {
		assert.Less(t, float64(r.On.ShareInside), 0.8)
		assert.Zero(t, r.On.Told[verdict.Overloaded])
		assert.NotContains(t, story(p), "may wait for one load")
	})
}

// A slow backend stops when the fault does, so the service comes back by itself.
func TestRecovery(t *testing.T) {
	p := halfSlow(t)
	inBubble(t, p, func(t *testing.T, r *Result) {
		assert.Less(t, float64(r.Off.ShareInside), 1-p.DropOff)
		assert.Greater(t, float64(r.On.ShareInside), 0.95)
		assert.Positive(t, float64(r.Off.Recovery))
		assert.Less(t, r.Off.Recovery.Duration(), p.Fault.Slow)
		assert.Equal(t, Value(0), r.On.Recovery)
		assert.Contains(t, r.finding(), "and was back")
		assert.NotEmpty(t, r.charts(p)[0].Marks)
	})
}

func TestSeedSettlesEvents(t *testing.T) {
	prints := make(map[string]bool)
	for _, seed := range []uint64{1, 1, 2} {
		p := half(t, "none")
		p.Seed, p.Rate = seed, 100
		inBubble(t, p,
			func(_ *testing.T, r *Result) { prints[r.On.Fingerprint] = true })
	}
	assert.Len(t, prints, 2)
}

func TestTraceKeys(t *testing.T) {
	p := half(t, "panic")
	p.Fault.Keys, p.Fault.Share, p.Rate = 1, 0, 200
	p.Trace, p.Replay = "x", &trace.Trace{IDs: []uint32{0, 1, 2, 1}}
	inBubble(t, p, func(t *testing.T, r *Result) {
		assert.Equal(t, Value(0.5), r.On.FailingShare)
		assert.Positive(t, r.On.Told[verdict.Panic])
	})
}

func TestStopped(t *testing.T) {
	p := half(t, "panic")
	for _, tt := range []struct {
		name   string
		after  time.Duration
		begun  []Fix
		inside bool // the first run got into the window
	}{
		{"before it began", 0, nil, false},
		{"warming up", 500 * time.Millisecond, []Fix{Off}, false},
		{"in the window", 4 * time.Second, []Fix{Off}, true},
		{"in the second run", 11 * time.Second, []Fix{Off, On}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.after)
				defer cancel()
				began := time.Now()
				r, err := Execute(ctx, p, quiet)
				require.NoError(t, err)
				assert.Equal(t, tt.after, time.Since(began).Round(100*time.Millisecond), "it must stop at once")
				assert.True(t, r.Partial)
				assert.Contains(t, r.finding(), "stopped")
				var begun []Fix
				for _, run := range []*Run{r.Off, r.On} {
					if run != nil {
						begun = append(begun, run.Fix)
						assert.Equal(t, run.Offered, run.Served+run.Failed+run.Dropped+run.Unfinished)
					}
				}
				assert.Equal(t, tt.begun, begun)
				if r.Off != nil {
					assert.Equal(t, tt.inside, r.Off.HealthyInside.Exists())
				}
				require.NoError(t, r.table(p).Validate())
				for _, c := range r.checks(p) {
					assert.False(t, c.OK && c.Name != "fix off: healthy throughput falls during the fault",
						"%s: %s", c.Name, c.Detail)
				}
			})
		})
	}
}

func TestProgress(t *testing.T) {
	p := half(t, "none")
	p.Rate = 100
	var parts []float64
	var texts []string
	synctest.Test(t, func(t *testing.T) {
		_, err := Execute(t.Context(), p, lab.Env{Progress: func(part float64, doing string) {
			parts, texts = append(parts, part), append(texts, doing)
		}})
		require.NoError(t, err)
	})
	require.Len(t, parts, 2*160)
	assert.IsIncreasing(t, parts)
	assert.InDelta(t, 0.5, parts[159], 1e-9)
	assert.InDelta(t, 1, parts[319], 1e-9)
	assert.Regexp(t, `^fix off +healthy \d+/s, \d+ callers? blocked, queue 0$`, texts[0])
	assert.Contains(t, texts[319], "fix on ")
}
