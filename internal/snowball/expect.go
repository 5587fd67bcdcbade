package snowball

import (
	"fmt"
	"math"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/scenario"
)

// Checks holds the result to what the scenario expects. A partial result fails
// every check that it can't answer.
func (r *Result) Checks(e scenario.Expect) []report.Check {
	var checks []report.Check
	add := func(ok bool, name, format string, args ...any) {
		checks = append(checks, report.Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
	}
	off, on := r.Off.orNone(), r.On.orNone()
	// Comparisons with a value that does not exist are false, as they should be.
	if e.HealthyDropOff > 0 {
		add(1-float64(off.ShareInside) >= e.HealthyDropOff, "fix off: healthy throughput falls during the fault",
			"to %s of what was offered; wanted: at most %s", percent(float64(off.ShareInside)), percent(1-e.HealthyDropOff))
	}
	if e.HealthyDropOn > 0 {
		add(1-float64(on.ShareInside) <= e.HealthyDropOn, "fix on: healthy throughput holds during the fault",
			"at %s of what was offered; wanted: at least %s", percent(float64(on.ShareInside)), percent(1-e.HealthyDropOn))
	}
	if e.Alike > 0 {
		differ := math.Abs(float64(off.HealthyInside-on.HealthyInside)) / float64(max(off.HealthyInside, on.HealthyInside))
		add(differ <= e.Alike, "healthy throughput during the fault is alike in both runs",
			"%s and %s differ by %s; wanted: at most %s",
			human.Rate(float64(off.HealthyInside)), human.Rate(float64(on.HealthyInside)), percent(differ), percent(e.Alike))
	}
	if e.LearnWithin > 0 {
		add(float64(on.Learn.P50) <= e.LearnWithin.Seconds(), "fix on: callers of failing keys learn of it soon",
			"after %s in the median; wanted: at most %s", human.Seconds(float64(on.Learn.P50)), human.Duration(e.LearnWithin))
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
		OfferedInside: measured.None(), OfferedAfter: measured.None(), ShareInside: measured.None(), ShareAfter: measured.None(),
		LatencyInside: none, LatencyAfter: none, Learn: none, AfterDeath: none,
		HeapPeak: measured.None(), DeadKeys: measured.None(), Recovery: measured.None(),
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
