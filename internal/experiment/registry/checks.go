package registry

import (
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
)

// checks holds the result to what must always be so, and to what the scenario expects. A run that
// was stopped fails what it can't answer.
func (r *Result) checks(p *Params) lab.Checks {
	return lab.ChecksOfRuns(r.Runs, len(p.Partitions),
		func(x *Run) string { return partitionsText(x.Partitions) },
		func(x *Run) lab.Checks { return x.checks(p) })
}

func (x *Run) checks(p *Params) (all lab.Checks) {
	if a := x.Audit; a == nil {
		all.Add(false, "every name was asked for on every node at the end",
			"it was not: the run was stopped")
	} else {
		example := ""
		if a.Example != "" {
			example = "; for example: " + a.Example
		}
		all.Add(a.TwoHolders == 0 && a.WrongWinner == 0,
			"one holder for each name, the one that the resolver prefers",
			"%s names; %d with two holders, %d with the wrong one%s", human.Count(a.Names),
			a.TwoHolders, a.WrongWinner, example)
		all.Add(a.Zombies == 0, "no zombies", "%d views of a claim that is gone%s", a.Zombies, example)
		all.Add(a.Disagreements == 0 && a.Missing == 0, "all nodes agree",
			"%d names on which nodes differ, %d views without a claim that is alive%s",
			a.Disagreements, a.Missing, example)
	}
	c := x.Conflicts
	all.Add(c.Told == c.Losers, "every loser was notified", "%s, in %s conflicts",
		partText(c.Told, c.Losers), human.Count(c.Both))
	all.Add(x.Dropped == 0, "no claim was lost without a reason", "%d were", x.Dropped)
	failure := ""
	if x.Failure != "" {
		failure = "; the first: " + x.Failure
	}
	all.Add(x.Failed == 0, "no operation failed", "%d did%s", x.Failed, failure)
	if limit := p.WholeWithin; limit > 0 {
		name, took := "whole again soon after the disturbance", x.Whole
		if p.Disturb == lab.Calm {
			name, took = "all agree soon after the load", x.Settled
		}
		all.Add(float64(took) <= limit.Seconds(), name, "after %s; wanted: at most %s",
			human.Seconds(float64(took)), human.Duration(limit))
	}
	limit := p.QueueAtMost
	if limit == 0 {
		limit = x.QueueLimit
	}
	all.Add(x.QueuePeak <= limit, "queues stayed bounded",
		"the deepest had %s names; wanted: at most %s", human.Count(x.QueuePeak), human.Count(limit))
	return all
}
