package registry

import (
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
)

// headline says in two sentences what ran.
func (r *Result) headline(p *Params) string {
	where := "in one process"
	if p.Processes {
		where = "in processes of their own"
	}
	return fmt.Sprintf("%s %s, %s names from the start, %s changes/s for %s. %s.",
		human.Plural(p.Nodes, "node", "nodes"), where, human.Count(p.Names), human.Number(p.Rate),
		human.Plain(p.Duration), r.disturbance(p))
}

// whom names the victims, if they are known and not more than most.
func (r *Result) whom(p *Params, most int) string {
	var victims [][]string
	for _, x := range r.Runs {
		victims = append(victims, x.Victims)
	}
	return lab.Whom(p.Victims, most, victims...)
}

// disturbance says what is done to the cluster.
func (r *Result) disturbance(p *Params) string {
	text := p.Disturb.Course(p.Window, r.whom(p, p.Nodes), p.Victims)
	switch p.Disturb { //nolint:exhaustive // of the others all is said
	case lab.Flap:
		text += ", anew every " + human.Plain(p.FlapPeriod)
	case lab.Skew:
		text += " by " + human.Plain(p.Skew)
	}
	return text
}

// story says what the scenario is about, for a reader who knows nothing of it.
func story(p *Params) string {
	text := fmt.Sprintf("A registry of names, which every one of %s holds whole, and which gossip "+
		"keeps alike. Each name belongs to one holder on one node. %s names are there "+
		"from the start; then %s names per second are registered or released.",
		human.Plural(p.Nodes, "node", "nodes"), human.Count(p.Names), human.Number(p.Rate))
	if p.Contested > 0 {
		text += fmt.Sprintf(" Between %s and %s two nodes claim each of %s names at the same time, and "+
			"the %s claim is to be kept.",
			human.Plain(p.Start), human.Plain(p.End), human.Count(p.Contested), p.Resolver)
	}
	return text + " " + (&Result{}).disturbance(p) + "."
}

// finding says in a few sentences, with numbers, what the runs showed.
func (r *Result) finding(p *Params) string {
	if len(r.Runs) == 0 {
		return "The run was stopped before there was anything to see."
	}
	var texts []string
	if r.partial {
		texts = append(texts, "The run was stopped: what is above is a part of what was to be measured.")
	}
	for _, x := range r.Runs {
		text := x.course(p)
		if len(r.Runs) > 1 {
			text = fmt.Sprintf("With %s: %s%s", partitionsText(x.Partitions), strings.ToLower(text[:1]),
				text[1:])
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// course says how one run went.
func (x *Run) course(p *Params) string {
	var b strings.Builder
	say := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		b.WriteString(" " + strings.ToUpper(text[:1]) + text[1:] + ".")
	}
	if v := x.Visible.Before; v.Count > 0 {
		say("a registration was visible on another node after %s in the median (%s at the 99th "+
			"percentile)", human.Seconds(float64(v.P50)), human.Seconds(float64(v.P99)))
	}
	switch {
	case p.Disturb == lab.Calm:
	case x.Whole.Exists():
		say("%s after the %s all nodes showed what they must", human.Seconds(float64(x.Whole)),
			p.Disturb)
	case x.Audit != nil:
		say("after the %s the nodes did not come to agree", p.Disturb)
	}
	if c := x.Conflicts; c.Both > 0 {
		say("%s had been claimed by two nodes at a time, and %s losers were notified",
			human.Plural(c.Both, "name", "names"), partText(c.Told, c.Losers))
	}
	switch a := x.Audit; {
	case a == nil:
	case a.TwoHolders+a.WrongWinner+a.Zombies+a.Disagreements+a.Missing == 0:
		say("at the end all nodes showed the same %s names, with one holder each and no zombie among "+
			"them", human.Count(a.Names))
	default:
		say("at the end there were %d names with two holders, %d with the wrong one, %d zombies, %d "+
			"names on which nodes differed, and %d views without a claim that is alive",
			a.TwoHolders, a.WrongWinner, a.Zombies, a.Disagreements, a.Missing)
	}
	if b.Len() == 0 {
		return "Nothing was measured."
	}
	return b.String()[1:]
}
