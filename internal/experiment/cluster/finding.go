package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/workload"
)

// column returns the head of an ownership's column, which is its name in a legend too.
func (o Ownership) column() string {
	if o == None {
		return "no cluster"
	}
	return "by " + string(o)
}

// how says within a sentence how keys find their node.
func (o Ownership) how() string {
	if o == None {
		return "without a cluster"
	}
	return o.column()
}

// clustered reports whether nodes share what they load.
func (o Ownership) clustered() bool { return o != None }

// title says in two sentences what ran.
func title(p *Params, r *Result) string {
	return fmt.Sprintf("%s, %s keys (%s), %s fetches/s on each for %s, TTL %s. %s.",
		human.Plural(p.Nodes, "process", "processes"), human.Count(p.KeyCount), popularity(p.Keys),
		human.Number(p.Rate), human.Plain(p.Duration), lifetime(p.TTL), course(p, r))
}

func popularity(k workload.KeySpec) string {
	switch k.Kind {
	case workload.KindUniform:
		return "all alike"
	case workload.KindZipf:
		return "zipf " + human.Number(k.Skew)
	default:
		return k.String()
	}
}

func lifetime(ttl time.Duration) string {
	if ttl == 0 {
		return "for ever"
	}
	return human.Plain(ttl)
}

func loadTime(l workload.Latency) string {
	if fixed, err := workload.FixedLatency(l.Max()); err == nil && l == fixed {
		return human.Plain(l.Max())
	}
	return l.String()
}

func nodes(n int) string { return human.Plural(n, "node", "nodes") }

// victims names the nodes that the disturbance was for, or counts them if they are many, unknown or
// not the same in all runs.
func victims(p *Params, r *Result) string {
	var all [][]string
	for _, x := range r.Runs {
		all = append(all, x.Victims)
	}
	return lab.Whom(p.Victims, 3, all...)
}

// course says what is done to the nodes or to the origin, and when.
func course(p *Params, r *Result) string {
	return p.Disturb.Course(p.Window, victims(p, r), p.Victims)
}

// story says what is run, for a reader that knows nothing of it.
func story(p *Params, r *Result) string {
	return fmt.Sprintf("%s share a cache of what an origin delivers: a key is meant to be loaded "+
		"by one of them, its owner, and the others ask the owner. "+
		"On each, %s fetches per second begin, of %s keys; the TTL of a value is %s, and the origin "+
		"takes %s for a load. %s.",
		nodes(p.Nodes), human.Number(p.Rate), human.Count(p.KeyCount), lifetime(p.TTL),
		loadTime(p.OriginLatency), course(p, r))
}

// finding says in a few sentences, with numbers, what the runs showed.
func (r *Result) finding(p *Params) string {
	if len(r.Runs) == 0 {
		return "The run was stopped before there was anything to see."
	}
	var parts []string
	if r.Partial {
		parts = append(parts, "The run was stopped: what is above is a part of what was to be measured.")
	}
	var loads, wrong, stale, late uint64
	for _, x := range r.Runs {
		parts = append(parts, r.findingOf(p, x))
		loads += x.Loads.Reasons[reasonNone]
		wrong, stale, late = wrong+x.Wrong, stale+x.Stale, late+x.Late
	}
	var broken []string
	for _, b := range []struct {
		n    uint64
		what string
	}{{loads, "loads without a reason"}, {wrong, "wrong values"}, {stale, "stale values"},
		{late, "late fetches"}} {
		if b.n > 0 {
			broken = append(broken, human.Count(b.n)+" "+b.what)
		}
	}
	switch {
	case len(broken) > 0:
		parts = append(parts, "Promises were broken: "+strings.Join(broken, ", ")+".")
	case r.Runs[0].Fetches > 0:
		parts = append(parts, "No value was wrong or stale, and no fetch late.")
	}
	return strings.Join(parts, " ")
}

// findingOf says how one run went.
func (r *Result) findingOf(p *Params, x *Run) string {
	how := x.Ownership.how()
	text := strings.ToUpper(how[:1]) + how[1:]
	ideal := x.againstIdeal()
	if !ideal.Exists() {
		return text + " nothing was loaded."
	}
	text += fmt.Sprintf(" the origin was asked %s times, %.2f times the ideal",
		human.Count(x.Loads.Total), float64(ideal))
	if none := r.againstNone(x); x.Ownership.clustered() && none.Exists() {
		text += fmt.Sprintf(" and %s of what it takes without a cluster", percentText(none))
	}
	switch z := x.Poison; {
	case z == nil:
	case z.Deaths >= p.Nodes:
		text += "; the poisoned key ended all nodes, and their callers with them"
	default:
		text += "; the poisoned key ended " + nodes(z.Deaths)
	}
	if n := x.errors(); n > 0 {
		text += fmt.Sprintf("; %s of %s fetches failed", human.Count(n), human.Count(x.Fetches))
	}
	switch {
	case p.Disturb == lab.Calm || !x.Ownership.clustered() || x.After.Fetches == 0 && !x.Heal.Exists():
	case x.Heal == 0:
		text += "; it healed at once"
	case x.Heal.Exists():
		text += "; it healed after " + human.Seconds(float64(x.Heal))
	default:
		text += "; it had not healed by the end"
	}
	return text + "."
}
