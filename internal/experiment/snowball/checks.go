package snowball

import (
	"fmt"
	"math"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/verdict"
)

// answerSlack is how much later than the soft time-out a caller who can have a stale value may be
// answered, in 99 of 100 cases: on a busy machine a goroutine that is woken runs some time later.
const answerSlack = 50 * time.Millisecond

// Checks holds the result to what the scenario expects and, if it has stale values, to what these
// promise. A partial result fails every check that it can't answer.
func (r *Result) Checks(s *scenario.Scenario) []report.Check {
	checks := r.expected(s.Expect)
	if s.Cache.StaleFor > 0 {
		checks = append(checks, r.staleChecks(s)...)
	}
	return checks
}

// staleChecks holds the run with stale values to what they promise.
func (r *Result) staleChecks(s *scenario.Scenario) []report.Check {
	const prefix = "stale values: "
	var checks []report.Check
	add := func(ok bool, name, format string, args ...any) {
		detail := fmt.Sprintf(format, args...)
		checks = append(checks, report.Check{Name: prefix + name, OK: ok, Detail: detail})
	}
	run := r.Stale.orNone()
	f := run.Failing
	// A run that was stopped, or that offered nothing to such callers, shows nothing.
	ran := r.Stale != nil && !r.Partial && f.Offered > 0
	all, refused := uint64(0), uint64(0)
	for kind, n := range run.Told {
		all += n
		if kind != verdict.Value && kind != verdict.Stale {
			refused += n
		}
	}
	count := func(n uint64) string { return human.Count(int64(n)) } //nolint:gosec // far below
	add(ran && refused == 0, "no caller of a failing key gets an error",
		"%s of %s in the whole run; wanted: 0", count(refused), count(all))
	add(ran && f.Unanswered == 0, "every caller of a failing key is answered",
		"%s of the %s offered during the fault; wanted: all",
		count(f.Offered-f.Unanswered), count(f.Offered))
	within := s.Cache.SoftTimeout + answerSlack
	p99 := float64(f.Answer.P99)
	add(ran && p99 <= within.Seconds(), "callers of failing keys wait for the soft time-out at most",
		"p99 %s; wanted: at most %s + %s", human.Seconds(p99), plain(s.Cache.SoftTimeout),
		plain(answerSlack))
	if drop := s.Expect.HealthyDropOn; drop > 0 {
		share := float64(run.ShareInside)
		add(1-share <= drop, "healthy throughput holds during the fault",
			"at %s of what was offered; wanted: at least %s", percent(share), percent(1-drop))
	}
	return checks
}

// expected holds the runs with the fix off and on to what the scenario expects.
func (r *Result) expected(e scenario.Expect) []report.Check {
	var checks []report.Check
	add := func(ok bool, name, format string, args ...any) {
		checks = append(checks, report.Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
	}
	off, on := r.Off.orNone(), r.On.orNone()
	// Comparisons with a value that does not exist are false, as they should be.
	if e.HealthyDropOff > 0 {
		add(1-float64(off.ShareInside) >= e.HealthyDropOff,
			"fix off: healthy throughput falls during the fault",
			"to %s of what was offered; wanted: at most %s", percent(float64(off.ShareInside)),
			percent(1-e.HealthyDropOff))
	}
	if e.HealthyDropOn > 0 {
		add(1-float64(on.ShareInside) <= e.HealthyDropOn,
			"fix on: healthy throughput holds during the fault",
			"at %s of what was offered; wanted: at least %s", percent(float64(on.ShareInside)),
			percent(1-e.HealthyDropOn))
	}
	if e.Alike > 0 {
		differ := math.Abs(float64(off.HealthyInside-on.HealthyInside)) / float64(max(off.HealthyInside,
			on.HealthyInside))
		add(differ <= e.Alike, "healthy throughput during the fault is alike in both runs",
			"%s and %s differ by %s; wanted: at most %s",
			human.Rate(float64(off.HealthyInside)), human.Rate(float64(on.HealthyInside)), percent(differ),
			percent(e.Alike))
	}
	if e.LearnWithin > 0 {
		add(float64(on.Learn.P50) <= e.LearnWithin.Seconds(),
			"fix on: callers of failing keys learn of it soon",
			"after %s in the median; wanted: at most %s", human.Seconds(float64(on.Learn.P50)),
			human.Duration(e.LearnWithin))
	}
	return checks
}

// orNone returns r, or a run of which nothing is known.
func (r *Run) orNone() *Run {
	if r != nil {
		return r
	}
	none := Spread{P50: measured.None(), P99: measured.None(), Max: measured.None()}
	return &Run{
		HealthyBefore: measured.None(), HealthyInside: measured.None(), HealthyAfter: measured.None(),
		OfferedInside: measured.None(), OfferedAfter: measured.None(), ShareInside: measured.None(),
		ShareAfter:    measured.None(),
		LatencyInside: none, LatencyAfter: none, Learn: none, AfterDeath: none,
		HeapPeak: measured.None(), DeadKeys: measured.None(), Recovery: measured.None(),
		Failing: &Failing{Answer: none},
	}
}

// percent writes a part of one with a decimal.
func percent(part float64) string {
	if math.IsNaN(part) || math.IsInf(part, 0) {
		return human.Missing
	}
	// Not "-0.0 %".
	return fmt.Sprintf("%.1f %%", math.Round(part*1000)/10+0)
}
