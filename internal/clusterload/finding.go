package clusterload

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/scenario"
)

// title is what ran, in two sentences.
func title(s *scenario.Scenario, r *Result) string {
	c := s.Registry
	where := "in one process"
	if c.Processes {
		where = "in processes of their own"
	}
	return fmt.Sprintf("%s %s, %s names from the start, %s changes/s for %s. %s.",
		nodes(c.Nodes), where, human.Count(int64(c.Names)), human.Number(c.Rate), plain(s.Duration),
		harm(s, r))
}

// harm says what is done to the cluster.
func harm(s *scenario.Scenario, r *Result) string {
	d := s.Disturb
	who := nodes(d.Nodes)
	if len(r.Runs) > 0 && len(r.Runs[0].Struck) > 0 {
		who = strings.Join(r.Runs[0].Struck, ", ")
	}
	from, to := plain(d.Start), plain(d.End)
	switch d.Kind {
	case scenario.DisturbKill:
		return fmt.Sprintf("At %s %s killed", from, are(d.Nodes, who))
	case scenario.DisturbRestart:
		return fmt.Sprintf("At %s %s killed, and started again at %s", from, are(d.Nodes, who), to)
	case scenario.DisturbSplit:
		return fmt.Sprintf("From %s to %s %s cut off from the others", from, to, are(d.Nodes, who))
	case scenario.DisturbFlap:
		return fmt.Sprintf("From %s to %s each link of %s is cut or not, anew every %s", from, to, who,
			plain(d.Period))
	case scenario.DisturbSkew:
		return fmt.Sprintf("From %s to %s the clock of %s is off by %s", from, to, who, plain(d.Skew))
	case scenario.DisturbNone:
	}
	return "Nothing is disturbed"
}

func nodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

func are(n int, who string) string {
	if n == 1 {
		return who + " is"
	}
	return who + " are"
}

// Story says what the scenario is about, for a reader who knows nothing of it.
func Story(s *scenario.Scenario) string {
	c := s.Registry
	text := fmt.Sprintf("A registry of names, which every one of %s holds whole, and which gossip "+
		"keeps alike. Each name belongs to one holder on one node. %s names are there "+
		"from the start; then %s names per second are registered or released.",
		nodes(c.Nodes), human.Count(int64(c.Names)), human.Number(c.Rate))
	if c.Contested > 0 {
		text += fmt.Sprintf(" Between %s and %s two nodes claim each of %s names at the same time, and "+
			"the %s claim is to be kept.",
			plain(s.Disturb.Start), plain(s.Disturb.End), human.Count(int64(c.Contested)), c.Resolver)
	}
	return text + " " + harm(s, &Result{}) + "."
}

// Finding says in a few sentences, with numbers, what the runs showed.
func (r *Result) Finding(s *scenario.Scenario) string {
	if len(r.Runs) == 0 {
		return "The run was stopped before there was anything to see."
	}
	var b strings.Builder
	if r.Partial {
		b.WriteString("The run was stopped: what is above is a part of what was to be measured. ")
	}
	for i, x := range r.Runs {
		if i > 0 {
			b.WriteByte(' ')
		}
		text := x.course(s)
		if len(r.Runs) > 1 {
			text = fmt.Sprintf("With %s: %s%s", partitionsText(x.Partitions), strings.ToLower(text[:1]),
				text[1:])
		}
		b.WriteString(text)
	}
	return b.String()
}

// course is how one run went.
func (x *Run) course(s *scenario.Scenario) string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if v := x.Visible.Before; v.Count > 0 {
		say("a registration was visible on another node after %s in the median (%s at the 99th "+
			"percentile)",
			human.Seconds(float64(v.P50)), human.Seconds(float64(v.P99)))
	}
	switch {
	case s.Disturb.Kind == scenario.DisturbNone:
	case x.Whole.Exists():
		say("%s after the %s all nodes showed what they must", human.Seconds(float64(x.Whole)),
			s.Disturb.Kind)
	case x.Audit != nil:
		say("after the %s the nodes did not come to agree", s.Disturb.Kind)
	}
	if c := x.Conflicts; c.Both > 0 {
		say("%s had been claimed by two nodes at a time, and %s losers were told", names(c.Both),
			partText(c.Told, c.Losers))
	}
	if a := x.Audit; a != nil {
		if a.TwoHolders+a.WrongWinner+a.Zombies+a.Disagreements+a.Missing == 0 {
			say("at the end all nodes showed the same %s names, with one holder each and no zombie among "+
				"them", human.Count(int64(a.Names)))
		} else {
			say("at the end there were %d names with two holders, %d with the wrong one, %d zombies, %d "+
				"names on which nodes differed, and %d views without a claim that is alive",
				a.TwoHolders, a.WrongWinner, a.Zombies, a.Disagreements, a.Missing)
		}
	}
	if len(parts) == 0 {
		return "Nothing was measured."
	}
	for i, part := range parts {
		parts[i] = strings.ToUpper(part[:1]) + part[1:]
	}
	return strings.Join(parts, ". ") + "."
}

func names(n int) string {
	if n == 1 {
		return "1 name"
	}
	return human.Count(int64(n)) + " names"
}

// plain writes a length that was chosen and not measured: 8 s and not 8.0 s.
func plain(d time.Duration) string { return strings.Replace(human.Duration(d), ".0 ", " ", 1) }
