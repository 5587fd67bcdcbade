package snowball

import (
	"fmt"
	"slices"
	"time"

	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
	"github.com/snowfence/snowfence/internal/verdict"
)

// Fix says which part of the fix a run had.
type Fix string

// The runs, in their order.
const (
	Off   Fix = "off"
	On    Fix = "on"    // with the courier's link
	Stale Fix = "stale" // with the link, and stale values are given
)

// words returns what tables and charts call a run.
func (f Fix) words() string {
	switch f {
	case Off, On:
		return "fix " + string(f)
	case Stale:
		return "fix on, stale values"
	}
	return string(f) // another library
}

// fixesOf returns the runs that the parameters ask for.
func fixesOf(p *Params) []Fix {
	if p.Stale {
		return []Fix{Off, On, Stale}
	}
	return []Fix{Off, On}
}

// A Result holds the runs.
type Result struct {
	Off   *Run `json:"fix_off"` // nil if it had not begun when the runs were stopped
	On    *Run `json:"fix_on"`
	Stale *Run `json:"fix_on_stale,omitempty"` // nil without stale values, too

	Libraries []*Run `json:"libraries,omitempty"` // instead of these: see Through

	Partial bool `json:"-"` // the runs were stopped
}

// runs returns the runs that have begun, in their order.
func (r *Result) runs() []*Run {
	return slices.DeleteFunc(append([]*Run{r.Off, r.On, r.Stale}, r.Libraries...),
		func(r *Run) bool { return r == nil })
}

// A Run is the result of one run. Rates are per second, times in seconds.
type Run struct {
	Fix     Fix   `json:"fix"`
	Seconds Value `json:"seconds"` // how long it took

	// End is why the process of another library has ended in the run; empty if it has not.
	End string `json:"end,omitempty"`

	Offered     uint64 `json:"offered"`
	Served      uint64 `json:"served"`
	Failed      uint64 `json:"failed"`
	Dropped     uint64 `json:"dropped"`
	Unfinished  uint64 `json:"unfinished"`  // queued or waiting at the end
	Fingerprint string `json:"fingerprint"` // of the events offered: equal where they were the same

	HealthyDropped uint64 `json:"healthy_dropped"`
	HealthyFailed  uint64 `json:"healthy_failed"`

	HealthyBefore Value `json:"healthy_per_second_before"` // no more than was offered then
	HealthyInside Value `json:"healthy_per_second_inside"`
	HealthyAfter  Value `json:"healthy_per_second_after"`
	OfferedInside Value `json:"healthy_offered_per_second_inside"`
	OfferedAfter  Value `json:"healthy_offered_per_second_after"`

	// ShareInside and ShareAfter are the parts of the events offered that were served in the same
	// time: what is offered differs from moment to moment, so that what was served before is no
	// measure. 0 is a standstill; above 1 a backlog was worked off.
	ShareInside Value `json:"healthy_share_inside"`
	ShareAfter  Value `json:"healthy_share_after"`

	LatencyInside Spread `json:"healthy_latency_inside"`
	LatencyAfter  Spread `json:"healthy_latency_after"`

	// Learn is the time that callers of failing keys waited for their error, and AfterDeath the part
	// of it after the fetch had died.
	Learn      Spread `json:"learn"`
	AfterDeath Spread `json:"learn_after_death"`

	// Told counts what the callers of failing keys got, in the whole run.
	Told map[verdict.Kind]uint64 `json:"told"`

	// Failing counts the events of failing keys that were offered within the window, by outcome.
	// It is nil without stale values.
	Failing *Failing `json:"failing_inside,omitempty"`

	Timeouts       uint64 `json:"timeouts"` // callers whose own time was up
	BlockedPeak    int    `json:"blocked_peak"`
	HeldPeak       int64  `json:"workers_on_failing_keys_peak"`
	QueuePeak      int    `json:"queue_peak"`
	GoroutinesPeak int    `json:"goroutines_peak"`
	HeapPeak       Value  `json:"heap_peak_bytes"`
	Loads          uint64 `json:"origin_loads"`
	AbandonedPeak  int    `json:"abandoned_peak"`

	FailingKeys  int   `json:"failing_keys"`
	FailingShare Value `json:"failing_share"` // the part of all events that is for them
	DeadKeys     Value `json:"dead_keys"`     // failing keys that did not work at the end

	// Recovery is the time from the window's end to the first moment from which at least 95 % of the
	// healthy events offered were served for half a second, the queue being empty.
	Recovery Value `json:"recovery_seconds"`

	Series []series.Series `json:"-"`
}

// Failing counts events of failing keys by outcome.
type Failing struct {
	Offered uint64 `json:"offered"`
	Fresh   uint64 `json:"fresh"`
	Stale   uint64 `json:"stale"`
	Errors  uint64 `json:"errors"`

	// Unanswered is the events that were dropped, or unfinished at the end.
	Unanswered uint64 `json:"unanswered"`

	// Answer is the time from the call to the answer, a value or an error.
	Answer Spread `json:"answer"`
}

type (
	// Value is a number that may be missing, see [measured.Value].
	Value = measured.Value
	// Spread holds percentiles of times, see [measured.Spread].
	Spread = measured.Spread
)

// result returns what was measured in a run of that length, of which dead failing keys were left,
// or -1 if that is not known.
func (v *service) result(ran time.Duration, m *sampler, dead int, loads uint64) *Run {
	t := v.meter.total()
	rate := func(events [phase.Count]uint64, p phase.Phase) Value {
		length := v.line.Length(p, ran)
		if length <= 0 {
			return measured.None()
		}
		return Value(float64(events[p]) / length.Seconds())
	}
	// On a busy machine the warm-up leaves a backlog, and working it off is no throughput to compare
	// with.
	t.healthy[phase.Before] = min(t.healthy[phase.Before], t.due[phase.Before])
	r := &Run{
		Fix: v.fix, Seconds: Value(ran.Seconds()),
		Offered: t.offered, Served: t.served, Failed: t.failed, Dropped: t.dropped,
		Unfinished:     t.unfinished,
		Fingerprint:    fmt.Sprintf("%016x", v.print),
		HealthyDropped: t.droppedOK, HealthyFailed: t.failedOK,
		HealthyBefore: rate(t.healthy, phase.Before), HealthyInside: rate(t.healthy, phase.During),
		HealthyAfter:  rate(t.healthy, phase.After),
		OfferedInside: rate(t.due, phase.During), OfferedAfter: rate(t.due, phase.After),
		LatencyInside: t.latency[phase.During].Spread(),
		LatencyAfter:  t.latency[phase.After].Spread(),
		Learn:         t.learn.Spread(), AfterDeath: t.tell.Spread(), Told: t.told,
		Timeouts: t.timedOut, BlockedPeak: int(m.Peak(seriesBlocked)), HeldPeak: t.heldPeak,
		QueuePeak:      t.queuePeak,
		GoroutinesPeak: int(m.Peak(seriesGoroutines)), HeapPeak: Value(m.Peak(seriesHeap)), Loads: loads,
		AbandonedPeak: int(m.Peak(seriesAbandoned)),
		FailingKeys:   len(v.failing), FailingShare: Value(v.share), DeadKeys: measured.None(),
		Recovery: Value(recovery(v.line, cap(v.queue), m.Series(seriesHealthy),
			m.Series(seriesOffered), m.Series(seriesQueue))),
		Series: m.All(),
	}
	r.ShareInside, r.ShareAfter = r.HealthyInside/r.OfferedInside, r.HealthyAfter/r.OfferedAfter
	if v.params.Stale {
		f := t.failing[phase.During]
		f.Unanswered = f.Offered - f.Fresh - f.Stale - f.Errors
		f.Answer = t.answer[phase.During].Spread()
		r.Failing = &f
	}
	if dead >= 0 {
		r.DeadKeys = Value(dead)
	}
	return r
}
