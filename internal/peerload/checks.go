package peerload

import (
	"fmt"
	"math"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
)

// Checks holds the runs to what the cluster promises. A run that was stopped fails what it can't answer.
func (r *Result) Checks(c Config) []report.Check {
	var checks []report.Check
	for _, x := range r.Runs {
		for _, check := range r.checksOf(c, x) {
			if len(c.Ownerships) > 1 {
				check.Name = x.Ownership.column() + ": " + check.Name
			}
			checks = append(checks, check)
		}
	}
	if missing := len(c.Ownerships) - len(r.Runs); missing > 0 {
		checks = append(checks, report.Check{Name: "every run took place", Detail: fmt.Sprintf("%d did not", missing)})
	}
	if r.Partial {
		checks = append(checks, report.Check{Name: "the runs went to their end", Detail: "they were stopped"})
	}
	return checks
}

func (r *Result) checksOf(c Config, x *Run) []report.Check {
	var checks []report.Check
	add := func(ok bool, name, format string, args ...any) {
		checks = append(checks, report.Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
	}
	add(x.Fetches > 0 && x.Loads.Total > 0 && x.Wrong+x.Stale == 0, "no value is wrong or stale",
		"%s fetches: %s wrong, %s stale", whole(x.Fetches), whole(x.Wrong), whole(x.Stale))
	add(x.Late == 0, "no fetch is late", "%s went on after the deadline of %s", whole(x.Late), plain(c.Deadline))
	when := x.untimely(c)
	detail := whole(x.errors()) + " of " + whole(x.Fetches) + " fetches failed"
	if x.Failure != "" {
		detail += "; for example: " + x.Failure
	} else if when != "" {
		detail += "; some " + when
	}
	odd := x.odd(c)
	if odd != "" {
		detail += "; " + odd
	}
	add(x.Failure == "" && when == "" && odd == "", "no error without a reason", "%s", detail)
	if c.shares(x) {
		limit := uint64(math.Ceil(Slack * float64(x.Loads.Calm)))
		add(x.Loads.CalmExtra <= limit, "one load per key and TTL while calm", "%s of %s loads were of a key that had been loaded within its TTL; wanted: at most %s (%s)",
			whole(x.Loads.CalmExtra), whole(x.Loads.Calm), whole(limit), percentText(Slack))
	}
	if limit, why := r.loadsAllowed(c, x); limit > 0 {
		add(x.Loads.Total <= limit, "loads stay bounded", "%s; wanted: at most %s (%s)",
			whole(x.Loads.Total), whole(limit), why)
	}
	if c.Disturb != Calm && x.Ownership.clustered() {
		after := "after " + human.Seconds(float64(x.Heal))
		if left := x.Seconds - x.Over; !x.Heal.Exists() {
			after = "not by the end of the run"
			if left.Exists() && left.Duration() < c.healsBy() {
				after += ", " + human.Seconds(float64(left)) + " later, which is too soon to tell"
			}
		}
		add(x.Heal.Exists() && x.Heal.Duration() <= c.healsBy(), "as before soon after the disturbance", "%s; wanted: at most %s (%s + TTL)",
			after, plain(c.healsBy()), plain(HealsWithin))
	}
	return checks
}

// untimely says when fetches failed that should not have: before the disturbance, but for what was under way when it began, or
// when it had been over for long. Empty if none did.
func (x *Run) untimely(c Config) string {
	if c.OriginErrors > 0 {
		return "" // a part of the loads fails from the start
	}
	if c.Disturb == Calm {
		if x.errors() > 0 {
			return "though nothing was disturbed"
		}
		return ""
	}
	for _, p := range x.series(SeriesErrors).Points {
		switch {
		case p.V == 0:
		case p.T < (c.Start - c.Deadline - slot).Seconds():
			return "before anything was disturbed"
		case x.Over.Exists() && p.T > float64(x.Over)+(c.healsBy()+slot).Seconds():
			return "when the disturbance had been over for " + plain(c.healsBy())
		}
	}
	return ""
}

// odd says which errors should not have come with this disturbance, if there are any.
func (x *Run) odd(c Config) string {
	kinds := x.kinds()
	if n := kinds[errorLoad]; n > 0 && c.Disturb != OriginFail && c.OriginErrors == 0 {
		return whole(n) + " by an origin that never failed"
	}
	if n := kinds[errorDeadline]; n > 0 && c.answersWithin() < c.Deadline {
		return whole(n) + " past their deadline of " + plain(c.Deadline) + ", which leaves time for a load after two silences"
	}
	return ""
}

// shares reports whether a run is one where loads are promised to be few: not where nodes share nothing, where loads fail or are given
// up (each fetch may then load anew), or where the caches hold fewer than all keys.
func (c Config) shares(x *Run) bool {
	return x.Ownership.clustered() && c.Disturb != OriginFail && c.patient() && c.OriginErrors == 0 && c.Capacity >= c.Keys
}

// loadsAllowed is how many loads there may be at most, and what that is made of. 0: nothing is promised.
func (r *Result) loadsAllowed(c Config, x *Run) (limit uint64, why string) {
	if !c.shares(x) {
		return 0, ""
	}
	ideal := float64(x.Loads.Ideal)
	allowed := ideal * (1 + Slack)
	why = fmt.Sprintf("the ideal %s + %s", whole(x.Loads.Ideal), percentText(Slack))
	if part := blind(c); part > 0 {
		// For a while each node may have to load for itself, as it does without a cluster: so many times the ideal as was measured, or
		// else as there are nodes.
		without := float64(x.Nodes)
		if none := r.run(None); none != nil && none.againstIdeal().Exists() {
			without = max(1, float64(none.againstIdeal()))
		}
		allowed += ideal * (without - 1) * float64(part)
		why += fmt.Sprintf(", and as without a cluster, %.2f times the ideal, in %s of the time", without, percentText(part))
	}
	return uint64(math.Ceil(allowed)), why
}

func whole(n uint64) string { return human.Count(int64(n)) } //nolint:gosec // far below
