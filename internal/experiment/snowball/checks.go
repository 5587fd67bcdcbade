package snowball

import (
	"fmt"
	"math"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/verdict"
)

// answerSlack is added to the soft time-out by which a caller that can have a stale value must be
// answered, in 99 of 100 cases: on a busy machine a goroutine that is woken runs some time later.
const answerSlack = 50 * time.Millisecond

// checks holds the result to what the parameters expect and, with stale values, to what these
// promise. A partial result fails every check that it can't answer.
func (r *Result) checks(p *Params) lab.Checks {
	all := r.expected(p.Expect)
	if p.Stale {
		all = append(all, r.staleChecks(p)...)
	}
	return all
}

// expected holds the runs with the fix off and on to what is expected of them. Comparisons with a
// value that is missing are false, as they should be.
func (r *Result) expected(e Expect) lab.Checks {
	var l lab.Checks
	off, on := r.Off.orNone(), r.On.orNone()
	if e.DropOff > 0 {
		l.Add(1-float64(off.ShareInside) >= e.DropOff,
			"fix off: healthy throughput falls during the fault",
			"to %s of what was offered; wanted: at most %s", percent(float64(off.ShareInside)),
			percent(1-e.DropOff))
	}
	if e.DropOn > 0 {
		holds(&l, "fix on: ", on, e.DropOn)
	}
	if e.Alike > 0 {
		differ := math.Abs(float64(off.HealthyInside-on.HealthyInside)) / float64(max(off.HealthyInside,
			on.HealthyInside))
		l.Add(differ <= e.Alike, "healthy throughput during the fault is alike in both runs",
			"%s and %s differ by %s; wanted: at most %s", human.Rate(float64(off.HealthyInside)),
			human.Rate(float64(on.HealthyInside)), percent(differ), percent(e.Alike))
	}
	if e.LearnWithin > 0 {
		l.Add(float64(on.Learn.P50) <= e.LearnWithin.Seconds(),
			"fix on: callers of failing keys learn of it soon",
			"after %s in the median; wanted: at most %s", human.Seconds(float64(on.Learn.P50)),
			human.Duration(e.LearnWithin))
	}
	return l
}

// holds adds the check that a run loses at most a part of the healthy events.
func holds(l *lab.Checks, which string, r *Run, drop float64) {
	share := float64(r.ShareInside)
	l.Add(1-share <= drop, which+"healthy throughput holds during the fault",
		"at %s of what was offered; wanted: at least %s", percent(share), percent(1-drop))
}

// staleChecks holds the run with stale values to what they promise.
func (r *Result) staleChecks(p *Params) lab.Checks {
	const which = "stale values: "
	var l lab.Checks
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
	l.Add(ran && refused == 0, which+"no caller of a failing key gets an error",
		"%s of %s in the whole run; wanted: 0", human.Count(refused), human.Count(all))
	l.Add(ran && f.Unanswered == 0, which+"every caller of a failing key is answered",
		"%s of the %s offered during the fault; wanted: all", human.Count(f.Offered-f.Unanswered),
		human.Count(f.Offered))
	p99 := float64(f.Answer.P99)
	l.Add(ran && p99 <= (p.SoftTimeout+answerSlack).Seconds(),
		which+"callers of failing keys wait for the soft time-out at most",
		"p99 %s; wanted: at most %s + %s", human.Seconds(p99), human.Plain(p.SoftTimeout),
		human.Plain(answerSlack))
	if p.DropOn > 0 {
		holds(&l, which, run, p.DropOn)
	}
	return l
}

// orNone returns r, or a run of which nothing is known.
func (r *Run) orNone() *Run {
	if r != nil {
		return r
	}
	none := measured.None()
	spread := Spread{P50: none, P99: none, Max: none}
	return &Run{
		HealthyBefore: none, HealthyInside: none, HealthyAfter: none, OfferedInside: none,
		OfferedAfter: none, ShareInside: none, ShareAfter: none,
		LatencyInside: spread, LatencyAfter: spread, Learn: spread, AfterDeath: spread,
		HeapPeak: none, DeadKeys: none, Recovery: none, Failing: &Failing{Answer: spread},
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
