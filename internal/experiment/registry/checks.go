package registry

import (
	"fmt"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/report"
)

// checks holds the result to what must always be so, and to what the scenario expects. A run that
// was stopped fails what it can't answer.
func (r *Result) checks(p *Params) []report.Check {
	var checks []report.Check
	for _, x := range r.Runs {
		prefix := ""
		if len(p.Partitions) > 1 {
			prefix = partitionsText(x.Partitions) + ": "
		}
		for _, c := range x.checks(p) {
			c.Name = prefix + c.Name
			checks = append(checks, c)
		}
	}
	if missing := len(p.Partitions) - len(r.Runs); missing > 0 {
		checks = append(checks, report.Check{Name: "every run took place",
			Detail: fmt.Sprintf("%d did not", missing)})
	}
	return checks
}

func (x *Run) checks(p *Params) []report.Check {
	var checks []report.Check
	add := func(ok bool, name, format string, args ...any) {
		checks = append(checks, report.Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
	}
	if a := x.Audit; a == nil {
		add(false, "every name was asked for on every node at the end", "it was not: the run was stopped")
	} else {
		example := ""
		if a.Example != "" {
			example = "; for example: " + a.Example
		}
		add(a.TwoHolders == 0 && a.WrongWinner == 0,
			"one holder for each name, the one that the resolver prefers",
			"%s names; %d with two holders, %d with the wrong one%s", human.Count(a.Names),
			a.TwoHolders, a.WrongWinner, example)
		add(a.Zombies == 0, "no zombies", "%d views of a claim that is gone%s", a.Zombies, example)
		add(a.Disagreements == 0 && a.Missing == 0, "all nodes agree",
			"%d names on which nodes differ, %d views without a claim that is alive%s",
			a.Disagreements, a.Missing, example)
	}
	c := x.Conflicts
	add(c.Told == c.Losers, "every loser was told", "%s, in %s conflicts", partText(c.Told, c.Losers),
		human.Count(c.Both))
	add(x.Dropped == 0, "no claim was lost without a reason", "%d were", x.Dropped)
	failure := ""
	if x.Failure != "" {
		failure = "; the first: " + x.Failure
	}
	add(x.Failed == 0, "no operation failed", "%d did%s", x.Failed, failure)
	if limit := p.WholeWithin; limit > 0 {
		name, took := "whole again soon after the disturbance", x.Whole
		if p.Disturb == lab.Calm {
			name, took = "all agree soon after the load", x.Settled
		}
		add(float64(took) <= limit.Seconds(), name, "after %s; wanted: at most %s",
			human.Seconds(float64(took)), human.Duration(limit))
	}
	limit := p.QueueAtMost
	if limit == 0 {
		limit = x.QueueLimit
	}
	add(x.QueuePeak <= limit, "queues stayed bounded", "the deepest had %s names; wanted: at most %s",
		human.Count(x.QueuePeak), human.Count(limit))
	return checks
}
