package snowball

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/trace"
	"github.com/snowfence/snowfence/internal/verdict"
)

// withStale is the scenario of a fault at a quarter of its size, with stale values.
func withStale(t *testing.T, fault string) *Params {
	t.Helper()
	p := half(t, fault)
	if fault == "slow" {
		p = halfSlow(t)
		p.Fault.Keys /= 2
		p.DropOff = 0.2 // when so small a pool fills up is a matter of chance
	}
	p.Rate /= 2
	p.Workers /= 2
	p.Queue /= 2
	p.Stale, p.StaleFor = true, p.Duration
	return p
}

// Whatever the fault is, callers of failing keys get the last good value, within the soft time-out.
func TestStaleValues(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault, func(t *testing.T) {
			p := withStale(t, fault)
			inBubble(t, p, func(t *testing.T, r *Result) {
				stale, on := r.Stale, r.On
				require.NotNil(t, stale)
				assert.Equal(t, r.Off.Fingerprint, stale.Fingerprint,
					"the runs must be offered the same events")
				for kind := range stale.Told {
					assert.Contains(t, []verdict.Kind{verdict.Value, verdict.Stale}, kind)
				}
				assert.Zero(t, on.Told[verdict.Stale])
				assert.Zero(t, r.Off.Failing.Stale+on.Failing.Stale)

				f := stale.Failing
				assert.Zero(t, f.Errors)
				assert.Zero(t, f.Unanswered)
				assert.Equal(t, f.Offered, f.Fresh+f.Stale)
				assert.Equal(t, f.Offered, on.Failing.Offered)
				const clock = 5 * time.Millisecond // histograms are of three digits
				assert.LessOrEqual(t, f.Answer.Max.Duration(), p.SoftTimeout+clock)
				assert.Less(t, f.Answer.P50.Duration(), p.SoftTimeout)
				if fault != "none" {
					assert.Greater(t, f.Stale, f.Offered/4)
					assert.Positive(t, on.Failing.Errors)
				}
				assert.Equal(t, Value(0), stale.DeadKeys)
				assert.LessOrEqual(t, stale.HealthyFailed, on.HealthyFailed)
				assert.Zero(t, stale.Dropped)
				checks := r.checks(p)
				for _, check := range checks {
					assert.True(t, check.OK, "%s: %s", check.Name, check.Detail)
				}
				assert.Len(t, checks, len(r.expected(p.Expect))+4)
				if fault == "panic" {
					staleChecksFail(t, p, r)
				}
			})
		})
	}
}

// staleChecksFail expects that the checks find out what is no run with stale values.
func staleChecksFail(t *testing.T, p *Params, r *Result) {
	t.Helper()
	failed := func(run *Run) (names []string) {
		other := *r
		other.Stale = run
		for _, check := range other.staleChecks(p) {
			if !check.OK {
				names = append(names, strings.TrimPrefix(check.Name, "stale values: "))
			}
		}
		return names
	}
	all := []string{
		"no caller of a failing key gets an error", "every caller of a failing key is answered",
		"callers of failing keys wait for the soft time-out at most",
		"healthy throughput holds during the fault",
	}
	assert.Equal(t, all[:1], failed(r.On))
	assert.Equal(t, all, failed(r.Off))
	assert.Equal(t, all, failed(nil), "what has not run shows nothing")
	late := *r.Stale
	late.Failing = &Failing{Offered: 5, Stale: 5,
		Answer: Spread{P99: Value(p.SoftTimeout.Seconds()) + 0.06}}
	assert.Equal(t, all[2:3], failed(&late))
}

func TestStalePresentation(t *testing.T) {
	p := withStale(t, "panic")
	inBubble(t, p, func(t *testing.T, r *Result) {
		var text strings.Builder
		require.NoError(t, r.table(p).WriteText(&text, table.Style{}))
		assert.Contains(t, text.String(), "500 events/s for 8 s, three times.")
		assert.Regexp(t, `measure +fix off +fix on +fix on, stale values`, text.String())
		for _, m := range measures {
			assert.Contains(t, text.String(), m.Name)
		}
		assert.Contains(t, text.String(), "(100.0 %)")
		assert.Contains(t, text.String(), "Callers of failing keys got, fix on, stale values: ")
		assert.Contains(t, text.String(), "stale value ")
		assert.Contains(t, text.String(), "has not ended after 50 ms")
		assert.Regexp(t, `Stale values: of \d+ events of failing keys in the window \d+ got a value, \d+ of them a stale one, after .*; none got an error\.$`, r.finding())
		assert.Contains(t, story(p), "The same events ran all three ways.")

		answered := r.charts(p)[0]
		var names []string
		for _, l := range answered.Lines {
			names = append(names, l.Name)
			assert.NotEmpty(t, l.Points, l.Name)
		}
		assert.Equal(t, []string{"fix off", "fix on", "fix on, stale values", "stale values among them"},
			names)
		within := func(line int) float64 {
			sum, n := 0.0, 0.0
			for _, at := range answered.Lines[line].Points {
				if at.T > p.Start.Seconds() && at.T <= p.End.Seconds() {
					sum, n = sum+at.V, n+1
				}
			}
			return sum / n
		}
		assert.Less(t, within(0), 0.5*p.Rate)
		assert.InEpsilon(t, 0.95*p.Rate, within(1), 0.03)
		assert.InEpsilon(t, p.Rate, within(2), 0.01, "the picture must show that nothing is lost")
		assert.InEpsilon(t, 0.05*p.Rate, within(3), 0.3)

		assert.Len(t, r.series(), 3*12+1)
		var back struct {
			Stale struct {
				Fix     string
				Failing struct {
					Offered, Stale uint64
					Answer         struct {
						P99 float64 `json:"p99_seconds"`
					}
				} `json:"failing_inside"`
			} `json:"fix_on_stale"`
		}
		doc, err := json.Marshal(r)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(doc, &back))
		assert.Equal(t, "stale", back.Stale.Fix)
		assert.Positive(t, back.Stale.Failing.Stale)
		assert.Positive(t, back.Stale.Failing.Answer.P99)
	})
}

func TestStaleNeedsAllThreeRuns(t *testing.T) {
	p := withStale(t, "panic")
	r := &Result{Partial: true, Off: (*Run)(nil).orNone(), On: (*Run)(nil).orNone()}
	for _, check := range r.checks(p) {
		assert.False(t, check.OK, check.Name)
	}
	require.NoError(t, r.table(p).Validate())
	assert.Contains(t, r.finding(), "stopped")
}

// A key that nobody asks for before the fault would have no value to give.
func TestFailingKeysBeginWithAValue(t *testing.T) {
	for _, staleFor := range []time.Duration{0, 8 * time.Second} {
		p := builtin(t, "panic")
		p.Stale, p.StaleFor = staleFor > 0, staleFor
		for _, fix := range fixesOf(p) {
			v, err := newService(p, fix)
			require.NoError(t, err)
			v.warm()
			require.Len(t, v.failing, p.Fault.Keys)
			for _, key := range v.failing {
				value, ok := v.cache.Get(key)
				assert.Equal(t, staleFor > 0, ok, "fix %s", fix)
				if ok {
					require.NoError(t, v.origin.Check(key, value))
				}
			}
			require.NoError(t, v.cache.Close())
		}
	}
}

func TestFailingKeyThatIsFirstAskedForWhenItFails(t *testing.T) {
	p := half(t, "panic")
	p.Fault.Keys, p.Fault.Share, p.Rate = 1, 0, 200
	p.Stale, p.StaleFor = true, p.Duration
	var ids []uint32
	for id := range uint32(500) {
		ids = append(ids, id+1)
	}
	ids = append(ids, make([]uint32, 1100)...) // the most popular, from 2.5 s on
	p.Trace, p.Replay = "x", &trace.Trace{IDs: ids}
	inBubble(t, p, func(t *testing.T, r *Result) {
		assert.Positive(t, r.On.Failing.Errors)
		assert.Zero(t, r.Stale.Failing.Errors)
		assert.Equal(t, r.Stale.Failing.Offered, r.Stale.Failing.Stale)
	})
}

// A probe that took a stale value for a sign of life would find no key dead.
func TestProbeWantsFreshValues(t *testing.T) {
	p := withStale(t, "error")
	p.Fault.End = p.Duration - time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		v, err := newService(p, Stale)
		require.NoError(t, err)
		defer func() { require.NoError(t, v.cache.Close()) }()
		v.warm()
		v.origin.Start()
		time.Sleep(p.Fault.Start) // past the TTL, and into the fault
		require.Equal(t, len(v.failing), v.probe(t.Context()))
		time.Sleep(p.Fault.End)
		require.Zero(t, v.probe(t.Context()))
	})
}
