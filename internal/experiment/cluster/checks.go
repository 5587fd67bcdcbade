package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
)

// Checks holds the runs to what the cluster promises. A run that was stopped fails what it can't
// answer.
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
		checks = append(checks, report.Check{Name: "every run took place",
			Detail: fmt.Sprintf("%d did not", missing)})
	}
	if r.Partial {
		checks = append(checks, report.Check{Name: "the runs went to their end",
			Detail: "they were stopped"})
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
	add(x.Late == 0, "no fetch is late", "%s went on after the deadline of %s", whole(x.Late),
		plain(c.Deadline))
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
	if len(x.Loads.Reasons) > 0 {
		add(len(x.Loads.Broken) == 0, "each load has a reason", "%s", x.Loads.unreasoned())
	}
	if p := x.Poison; p != nil && x.Ownership.clustered() {
		add(p.Deaths > 0 && p.Deaths <= maxDeaths, "the poisoned key ends a node, and two at most",
			"%d died", p.Deaths)
		add(p.Others == 0, "no other key fails", "%s fetches of other keys failed", whole(p.Others))
		add(p.Again.Exists(), "the key is served again", "after %s", human.Seconds(float64(p.Again)))
	}
	if c.Disturb != Calm && x.Ownership.clustered() {
		add(x.Heal.Exists() && x.Heal.Duration() <= HealsWithin, "as before soon after the disturbance",
			"after %s; wanted: at most %s",
			human.Seconds(float64(x.Heal)), plain(HealsWithin))
	}
	return checks
}

// early reports whether fetches failed that were over before the disturbance. What was under way
// when it began may have failed by it.
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
	if n := kinds[errorDeadline]; n > 0 &&
		(c.Disturb == OriginFail || c.Disturb == OriginSlow && slowLoad(c) < c.Deadline) {
		return whole(n) + " past their deadline, though no node was struck and loads ended in time"
	}
	return ""
}

// mostBroken is how many loads without a reason are told of one by one.
const mostBroken = 3

// unreasoned counts the loads that must not have been made, and describes the first ones.
func (l Loads) unreasoned() string {
	text := whole(uint64(len(l.Broken))) + " of " + whole(l.Total) + " have none"
	if len(l.Broken) > 0 {
		text += ": " + strings.Join(l.Broken[:min(len(l.Broken), mostBroken)], "; ")
	}
	return text
}

// maxDeaths is how many nodes one key may end.
const maxDeaths = 2

// slowLoad is how long a load of a slow origin takes.
func slowLoad(c Config) time.Duration { return max(10*c.OriginLatency, time.Second) }

// HealsWithin is how long it may take until all is as it was before: to notice a dead node takes
// seconds, and to notice that a split is over as well.
const HealsWithin = 10 * time.Second

func whole(n uint64) string { return human.Count(int64(n)) } //nolint:gosec // far below
