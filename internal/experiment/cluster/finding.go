package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/measured"
)

// column is the head of an ownership's column, and its name in a legend.
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

// title is what ran, in two sentences.
func title(c Config, r *Result) string {
	return fmt.Sprintf("%s, %s keys (%s), %s fetches/s on each for %s, TTL %s. %s.",
		processes(c.Nodes), human.Count(int64(c.Keys)), popularity(c.Zipf), human.Number(c.Rate),
		plain(c.Duration), life(c.TTL), harm(c, r))
}

func popularity(zipf float64) string {
	if zipf == 0 {
		return "all alike"
	}
	return "zipf " + human.Number(zipf)
}

func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

func nodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// struck names the nodes that the disturbance was for, or counts them.
func struck(c Config, r *Result) string {
	if r == nil || len(r.Runs) == 0 || len(r.Runs[0].Struck) == 0 || len(r.Runs[0].Struck) > 3 {
		return nodes(c.Victims)
	}
	for _, x := range r.Runs[1:] {
		if strings.Join(x.Struck, ",") != strings.Join(r.Runs[0].Struck, ",") {
			return nodes(c.Victims)
		}
	}
	return strings.Join(r.Runs[0].Struck, ", ")
}

// harm says what is done to the nodes or to the origin.
func harm(c Config, r *Result) string {
	from, to := plain(c.Start), plain(c.End)
	who := struck(c, r)
	are := who + " are"
	if c.Victims == 1 {
		are = who + " is"
	}
	switch c.Disturb {
	case Kill:
		return fmt.Sprintf("At %s %s killed", from, are)
	case Restart:
		return fmt.Sprintf("At %s %s killed, and started again at %s", from, are, to)
	case Pause:
		return fmt.Sprintf("From %s to %s %s stopped, as a process that hangs", from, to, are)
	case Split:
		return fmt.Sprintf("From %s to %s %s cut off from the others", from, to, are)
	case Rolling:
		return fmt.Sprintf("From %s to %s one node after the other is ended in good order and started "+
			"again", from, to)
	case OriginSlow:
		return fmt.Sprintf("From %s to %s the origin is slow", from, to)
	case OriginFail:
		return fmt.Sprintf("From %s to %s the origin fails", from, to)
	case Poison:
		return fmt.Sprintf("From %s to %s a load of the most popular key ends its process", from, to)
	case Calm:
	}
	return "Nothing is disturbed"
}

// Headline is the title of a report.
func Headline(c Config) string {
	switch c.Disturb {
	case Kill:
		return "a node is killed"
	case Restart:
		return "a node is killed and comes back"
	case Pause:
		return "a node hangs for a while"
	case Split:
		return "the network splits and heals"
	case Rolling:
		return "one node after the other is restarted"
	case OriginSlow:
		return "the origin is slow"
	case OriginFail:
		return "the origin fails"
	case Poison:
		return "the load of one key kills its node"
	case Calm:
	}
	return "nobody disturbs it"
}

// story says what is run, for a reader who knows nothing of it.
func (r *Result) story(c Config) string {
	text := fmt.Sprintf("%s share a cache of what an origin delivers: a key is meant to be loaded "+
		"by one of them, its owner, and the others ask the owner. "+
		"On each, %s fetches per second begin, of %s keys; the TTL of a value is %s, and the origin "+
		"takes %s for a load.",
		nodes(c.Nodes), human.Number(c.Rate), human.Count(int64(c.Keys)), life(c.TTL),
		plain(c.OriginLatency))
	return text + " " + harm(c, r) + "."
}

// Finding says in a few sentences, with numbers, what the runs showed.
func (r *Result) Finding(c Config) string {
	if len(r.Runs) == 0 {
		return "The run was stopped before there was anything to see."
	}
	var parts []string
	if r.Partial {
		parts = append(parts, "The run was stopped: what is above is a part of what was to be measured.")
	}
	for _, x := range r.Runs {
		parts = append(parts, r.course(c, x))
	}
	var wrong, stale, late, broken uint64
	for _, x := range r.Runs {
		broken += x.Loads.Reasons[reasonNone]
		wrong, stale, late = wrong+x.Wrong, stale+x.Stale, late+x.Late
	}
	switch {
	case wrong+stale+late+broken > 0:
		var words []string
		for _, b := range []struct {
			n    uint64
			what string
		}{{broken, "loads without a reason"}, {wrong, "wrong values"}, {stale, "stale values"},
			{late, "late fetches"}} {
			if b.n > 0 {
				words = append(words, whole(b.n)+" "+b.what)
			}
		}
		parts = append(parts, "Promises were broken: "+strings.Join(words, ", ")+".")
	case r.Runs[0].Fetches > 0:
		parts = append(parts, "No value was wrong or stale, and no fetch late.")
	}
	return strings.Join(parts, " ")
}

// course is how one run went.
func (r *Result) course(c Config, x *Run) string {
	how := x.Ownership.how()
	text := strings.ToUpper(how[:1]) + how[1:]
	ideal := x.againstIdeal()
	if !ideal.Exists() {
		return text + " nothing was loaded."
	}
	text += fmt.Sprintf(" the origin was asked %s times, %s the ideal",
		human.Count(int64(x.Loads.Total)), timesOf(ideal))
	if none := r.againstNone(x); x.Ownership.clustered() && none.Exists() {
		text += fmt.Sprintf(" and %s of what it takes without a cluster", percentText(none))
	}
	switch p := x.Poison; {
	case p == nil:
	case p.Deaths >= c.Nodes:
		text += "; the poisoned key ended all nodes, and their callers with them"
	default:
		text += fmt.Sprintf("; the poisoned key ended %s", nodes(p.Deaths))
	}
	if n := x.errors(); n > 0 {
		text += fmt.Sprintf("; %s of %s fetches failed", human.Count(int64(n)),
			human.Count(int64(x.Fetches)))
	}
	switch {
	case c.Disturb == Calm || !x.Ownership.clustered() || x.After.Fetches == 0 && !x.Heal.Exists():
	case x.Heal == 0:
		text += "; all was as before at once"
	case x.Heal.Exists():
		text += fmt.Sprintf("; all was as before after %s", human.Seconds(float64(x.Heal)))
	default:
		text += "; not all was as before by the end"
	}
	return text + "."
}

func timesOf(v measured.Value) string { return fmt.Sprintf("%.2f times", float64(v)) }

// life is a TTL.
func life(ttl time.Duration) string {
	if ttl == 0 {
		return "for ever"
	}
	return plain(ttl)
}

// plain writes a length that was chosen and not measured: 8 s and not 8.0 s.
func plain(d time.Duration) string { return strings.Replace(human.Duration(d), ".0 ", " ", 1) }
