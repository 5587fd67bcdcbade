package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/report"
)

const (
	// healsWithin bounds the time until all is as it was before: to notice a dead node takes seconds,
	// and to notice that a split is over as well.
	healsWithin = 10 * time.Second

	// maxDeaths bounds how many nodes one key may end.
	maxDeaths = 2

	// mostBroken bounds how many loads without a reason are described one by one.
	mostBroken = 3
)

// checks holds the runs to what the cluster promises. A run that was stopped fails what it can't
// answer.
func (r *Result) checks(p *Params) []report.Check {
	all := lab.ChecksOfRuns(r.Runs, len(p.Ownerships),
		func(x *Run) string { return x.Ownership.column() },
		func(x *Run) lab.Checks { return x.checks(p) })
	if r.Partial {
		all.Add(false, "the runs went to their end", "they were stopped")
	}
	return all
}

func (x *Run) checks(p *Params) (all lab.Checks) {
	all.Add(x.Fetches > 0 && x.Loads.Total > 0 && x.Wrong+x.Stale == 0, "no value is wrong or stale",
		"%s fetches: %s wrong, %s stale", human.Count(x.Fetches), human.Count(x.Wrong),
		human.Count(x.Stale))
	all.Add(x.Late == 0, "no fetch is late", "%s went on after the deadline of %s",
		human.Count(x.Late), human.Plain(p.Timeout))
	detail := human.Count(x.errors()) + " of " + human.Count(x.Fetches) + " fetches failed"
	early, odd := x.early(p), x.odd(p)
	if x.Failure != "" {
		detail += "; for example: " + x.Failure
	} else if early {
		detail += "; some before anything was disturbed"
	}
	if odd != "" {
		detail += "; " + odd
	}
	all.Add(x.Failure == "" && !early && odd == "", "no error without a reason", "%s", detail)
	if len(x.Loads.Reasons) > 0 {
		broken := x.Loads.Broken
		detail := fmt.Sprintf("%d of %s have none", len(broken), human.Count(x.Loads.Total))
		if len(broken) > 0 {
			detail += ": " + strings.Join(broken[:min(len(broken), mostBroken)], "; ")
		}
		all.Add(len(broken) == 0, "each load has a reason", "%s", detail)
	}
	if z := x.Poison; z != nil && x.Ownership.clustered() {
		all.Add(z.Deaths > 0 && z.Deaths <= maxDeaths, "the poisoned key ends a node, and two at most",
			"%d died", z.Deaths)
		all.Add(z.Others == 0, "no other key fails", "%s fetches of other keys failed",
			human.Count(z.Others))
		all.Add(z.Again.Exists(), "the key is served again", "after %s", human.Seconds(float64(z.Again)))
	}
	if p.Disturb != lab.Calm && x.Ownership.clustered() {
		all.Add(x.Heal.Exists() && x.Heal.Duration() <= healsWithin,
			"heals soon after the disturbance", "after %s; wanted: at most %s",
			human.Seconds(float64(x.Heal)), human.Plain(healsWithin))
	}
	return all
}

// early reports whether fetches failed that were over before the disturbance. What was under way
// when it began may have failed by it.
func (x *Run) early(p *Params) bool {
	if p.OriginErrors > 0 {
		return false // a part of the loads fails from the start
	}
	if p.Disturb == lab.Calm {
		return x.errors() > 0
	}
	for _, point := range lab.SeriesOf(x.Series, seriesErrors, "").Points {
		if point.V > 0 && point.T < (p.Start-p.Timeout-interval).Seconds() {
			return true
		}
	}
	return false
}

// odd says which errors should not have come with this disturbance, if there are any.
func (x *Run) odd(p *Params) string {
	kinds := x.kinds()
	if n := kinds[errorLoad]; n > 0 && p.Disturb != lab.OriginFail && p.OriginErrors == 0 {
		return human.Count(n) + " by an origin that never failed"
	}
	if n := kinds[errorDeadline]; n > 0 && (p.Disturb == lab.OriginFail ||
		p.Disturb == lab.OriginSlow && slowed(p.OriginLatency.Max()) < p.Timeout) {
		return human.Count(n) + " past their deadline, though no node was a victim and loads ended in " +
			"time"
	}
	return ""
}
