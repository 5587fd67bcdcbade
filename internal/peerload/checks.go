package peerload

import (
	"fmt"
	"math"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/report"
)

// Slack is how far the loads of a calm cluster may be above the ideal: a load that begins just before a value expires on one node, and
// ends after it did on another, is counted twice.
const Slack = 0.02

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
	early := x.early(c)
	detail := whole(x.errors()) + " of " + whole(x.Fetches) + " fetches failed"
	if x.Failure != "" {
		detail += "; for example: " + x.Failure
	} else if early {
		detail += "; some before anything was disturbed"
	}
	odd := x.odd(c)
	if odd != "" {
		detail += "; " + odd
	}
	add(x.Failure == "" && !early && odd == "", "no error without a reason", "%s", detail)
	if limit, why := r.loadsAllowed(c, x); limit > 0 {
		add(x.Loads.Total <= limit, "loads stay bounded", "%s; wanted: at most %s (%s)",
			whole(x.Loads.Total), whole(limit), why)
	}
	if p := x.Poison; p != nil && x.Ownership.clustered() {
		add(p.Deaths > 0 && p.Deaths <= maxDeaths, "the poisoned key ends a node, and two at most", "%d died", p.Deaths)
		add(p.Others == 0, "no other key fails", "%s fetches of other keys failed", whole(p.Others))
		add(p.Again.Exists(), "the key is served again", "after %s", human.Seconds(float64(p.Again)))
	}
	if c.Disturb != Calm && x.Ownership.clustered() {
		add(x.Heal.Exists() && x.Heal.Duration() <= HealsWithin, "as before soon after the disturbance", "after %s; wanted: at most %s",
			human.Seconds(float64(x.Heal)), plain(HealsWithin))
	}
	return checks
}

// early reports whether fetches failed that were over before the disturbance. What was under way when it began may have failed by it.
func (x *Run) early(c Config) bool {
	if c.OriginErrors > 0 {
		return false // a part of the loads fails from the start
	}
	if c.Disturb == Calm {
		return x.errors() > 0
	}
	for _, p := range x.series(SeriesErrors).Points {
		if p.V > 0 && p.T < (c.Start-c.Deadline-slot).Seconds() {
			return true
		}
	}
	return false
}

// odd says which errors should not have come with this disturbance, if there are any.
func (x *Run) odd(c Config) string {
	kinds := x.kinds()
	if n := kinds[errorLoad]; n > 0 && c.Disturb != OriginFail && c.OriginErrors == 0 {
		return whole(n) + " by an origin that never failed"
	}
	if n := kinds[errorDeadline]; n > 0 && (c.Disturb == OriginFail || c.Disturb == OriginSlow && slowLoad(c) < c.Deadline) {
		return whole(n) + " past their deadline, though no node was struck and loads ended in time"
	}
	return ""
}

// loadsAllowed is how many loads there may be at most, and what that is made of. 0: nothing is promised, as where
// nodes share nothing, where loads fail (each fetch may then load anew), or where the caches hold fewer than all keys.
func (r *Result) loadsAllowed(c Config, x *Run) (limit uint64, why string) {
	patient := c.Disturb != OriginSlow || slowLoad(c) < c.Deadline
	if !x.Ownership.clustered() || c.Disturb == OriginFail || !patient || c.OriginErrors > 0 || c.Capacity < c.Keys {
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
		allowed += ideal * (without - 1) * part
		why += fmt.Sprintf(", and as without a cluster, %.2f times the ideal, in %s of the time", without, percentText(measured.Value(part)))
	}
	return uint64(math.Ceil(allowed)), why
}

// maxDeaths is how many nodes one key may end.
const maxDeaths = 2

// settles is how long a cluster may take to notice that nodes are gone or back, and to have new owners.
const settles = 3 * time.Second

// blind is the part of a run in which nodes may load for themselves: while they are disturbed, until that has been noticed, and
// for one TTL after it, since what is lost has to be loaded anew.
func blind(c Config) float64 {
	length := c.End - c.Start
	switch c.Disturb {
	case Calm, OriginSlow, OriginFail:
		return 0
	case Kill, Poison:
		length = 0 // it is over at once
	case Restart, Pause, Split, Rolling:
	}
	if c.TTL == 0 {
		return 1
	}
	return min(1, float64(length+settles+c.TTL)/float64(c.Duration))
}

// slowLoad is how long a load of a slow origin takes.
func slowLoad(c Config) time.Duration { return max(10*c.OriginLatency, time.Second) }

// HealsWithin is how long it may take until all is as it was before: to notice a dead node takes seconds, and to notice that a
// split is over as well.
const HealsWithin = 10 * time.Second

func whole(n uint64) string { return human.Count(int64(n)) } //nolint:gosec // far below
