package peerload

import (
	"fmt"
	"math"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
)

// Slack is how far the loads of a calm cluster may be above the ideal: a load that begins just before a value expires on one node, and
// ends after it did on another, is counted twice.
const Slack = 0.02

// Checks holds the runs to what the cluster promises. A run that was stopped fails what it can't answer.
func (r *Result) Checks(c Config) []report.Check {
	var checks []report.Check
	for _, x := range r.Runs {
		for _, check := range x.checks(c) {
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

func (x *Run) checks(c Config) []report.Check {
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
	add(x.Failure == "" && !early, "no error without a reason", "%s", detail)
	if limit, why := x.loadsAllowed(c); limit > 0 {
		add(x.Loads.Total <= limit, "loads stay bounded", "%s; wanted: at most %s (%s)",
			whole(x.Loads.Total), whole(limit), why)
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

// loadsAllowed is how many loads there may be at most, and what that is made of. 0: nothing is promised, as where
// nodes share nothing, where loads fail (each fetch may then load anew), or where the caches hold fewer than all keys.
func (x *Run) loadsAllowed(c Config) (limit uint64, why string) {
	if !x.Ownership.clustered() || c.Disturb == OriginFail || c.OriginErrors > 0 || c.Capacity < c.Keys {
		return 0, ""
	}
	calm := uint64(math.Ceil(float64(x.Loads.Ideal) * (1 + Slack)))
	why = fmt.Sprintf("the ideal %s + %s", whole(x.Loads.Ideal), percentText(Slack))
	if c.Disturb == Calm {
		return calm, why
	}
	// In the worst case a node that is cut off from a key's owner serves itself, as it would without a cluster: it loads the key anew
	// once its copy has expired.
	return calm + uint64(x.Nodes)*uint64(x.Loads.Keys)*x.rounds(c), //nolint:gosec // all above 0
		fmt.Sprintf("%s; each of %s keys %s more on each node", why, human.Count(int64(x.Loads.Keys)), often(x.rounds(c)))
}

// rounds is how often one node may load a key for itself because of the disturbance.
func (x *Run) rounds(c Config) uint64 {
	if c.TTL == 0 {
		return 1
	}
	length := c.End - c.Start
	if c.Disturb == Kill {
		length = 0 // it is over at once; what is left is that others take over
	}
	return 1 + uint64(math.Ceil(float64(length)/float64(c.TTL)))
}

func often(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// HealsWithin is how long it may take until all is as it was before: to notice a dead node takes seconds, and to notice that a
// split is over as well.
const HealsWithin = 10 * time.Second

func whole(n uint64) string { return human.Count(int64(n)) } //nolint:gosec // far below
