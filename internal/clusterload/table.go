package clusterload

import (
	"fmt"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/scenario"
	"github.com/snowfence/snowfence/internal/table"
)

// A measure is a row of the table.
type measure struct {
	name   string
	better table.Better
	of     func(*Run) table.Cell
	// meaning is for the command's help.
	meaning string
}

var measures = []measure{
	{"start: names visible everywhere after", table.Lower,
		func(x *Run) table.Cell { return seconds(x.Setup) },
		"from the first registration of the names that are there from the start (--names, as fast as " +
			"they are taken) until all nodes showed them all"},
	{"registered / released", "", func(x *Run) table.Cell {
		return countsOf(x.Registered, x.Released)
	},
		"changes that were made within the run"},
	{"refused: name still taken", "", func(x *Run) table.Cell { return count(x.Taken) },
		"registrations of names that were free again, on a node that had not heard of it, or could not"},
	{"visible elsewhere, before: p50 / p99 / max", table.Lower,
		func(x *Run) table.Cell { return spread(x.Visible.Before) },
		"from when a registration was meant to be made until another node showed it, each of the other " +
			"nodes counted; of registrations made before the window"},
	{"visible elsewhere, during: p50 / p99 / max", table.Lower,
		func(x *Run) table.Cell { return spread(x.Visible.During) },
		"the same of those made within it; across a split they have to wait for its end"},
	{"visible elsewhere, after: p50 / p99 / max", table.Lower,
		func(x *Run) table.Cell { return spread(x.Visible.After) },
		"the same of those made after it"},
	{"whole again after the disturbance", table.Lower,
		func(x *Run) table.Cell { return seconds(x.Whole) },
		"from the end of the disturbance (for kill: from the kill) until every node showed what had " +
			"been changed by then; a dash: not within the run"},
	{"all agree after the load", table.Lower, func(x *Run) table.Cell { return seconds(x.Settled) },
		"from the last change until all nodes showed the same, which is what was really done"},
	{"views behind, peak", table.Lower,
		func(x *Run) table.Cell { return table.Count(int64(x.BehindPeak)) },
		"a view is one name on one node; so many at one time were not what they must be"},
	{"nodes taken for down", "", func(x *Run) table.Cell { return count(x.Counts.NodesDown) },
		"times that a node took another one for down, and hid its names: of nodes that were killed or " +
			"cut off that is as it should be"},
	{"claims that died with their node", "",
		func(x *Run) table.Cell { return table.Count(int64(x.Died)) }, "of nodes that were killed"},
	{"names claimed by two nodes", "", func(x *Run) table.Cell {
		return part(x.Conflicts.Both, x.Conflicts.Names)
	}, "conflicts, of the names that two nodes asked for (--contested); in the others one came " +
		"first and the other was refused"},
	{"losers told", "", func(x *Run) table.Cell {
		return part(x.Conflicts.Told, x.Conflicts.Losers)
	}, "holders whose registration ended with ErrConflict, of those that lost"},
	{"names with two holders at the end", table.Lower,
		audited(func(a *Audit) int { return a.TwoHolders }), "must be 0"},
	{"names with the wrong holder at the end", table.Lower,
		audited(func(a *Audit) int { return a.WrongWinner }),
		"the claim that is left is not the one that the resolver prefers; must be 0"},
	{"zombies at the end", table.Lower, audited(func(a *Audit) int { return a.Zombies }),
		"views of a holder that is gone; must be 0"},
	{"disagreements at the end", table.Lower, audited(func(a *Audit) int { return a.Disagreements }),
		"names on which two nodes differ; must be 0"},
	{"queue depth, peak", table.Lower, func(x *Run) table.Cell {
		return part(x.QueuePeak, x.QueueLimit)
	}, "names that waited to be sent, in the deepest queue of any partition on any node, of the " +
		"number at which registering has to wait"},
	{"messages sent per second", table.Lower,
		func(x *Run) table.Cell { return table.Rate(x.perSecond(x.Counts.Sent.All())) },
		"of the registry, by all nodes together, what gossip repeats counted once"},
	{"on the wire per second", table.Lower, func(x *Run) table.Cell {
		b := table.Bytes(x.perSecond(x.Counts.WireBytes))
		return b.As(b.String() + "/s")
	}, "sent by all nodes together, with all that membership needs"},
	{"on the wire per change", table.Lower, func(x *Run) table.Cell {
		return table.Bytes(float64(x.Counts.WireBytes) / float64(x.Registered+x.Released))
	}, "the same, for each registration and release"},
	{"gaps seen / pulls / resyncs", "",
		func(x *Run) table.Cell { return countsOf(x.Counts.Gaps, x.Counts.Pulls, x.Counts.Resyncs) },
		"updates before which something was missing, requests for what was missing, and times that the " +
			"whole of a node's claims was fetched"},
	{"heap of the tables, peak", table.Lower,
		func(x *Run) table.Cell { return table.Bytes(float64(x.HeapPeak)) }, "estimated, of one node"},
}

func seconds(v Value) table.Cell {
	if !v.Exists() {
		return table.Missing()
	}
	return table.Duration(v.Duration())
}

func part(n, of int) table.Cell { return table.Count(int64(n)).As(partText(n, of)) }

func partText(n, of int) string { return human.Count(int64(n)) + " of " + human.Count(int64(of)) }

func count(n uint64) table.Cell { return table.Count(int64(n)) } //nolint:gosec // far below

func countsOf(ns ...uint64) table.Cell {
	words := make([]string, len(ns))
	for i, n := range ns {
		words[i] = human.Count(int64(n)) //nolint:gosec // far below
	}
	return count(ns[0]).As(strings.Join(words, " / "))
}

// spread is compared by its 99th percentile.
func spread(s Spread) table.Cell {
	if s.Count == 0 {
		return table.Missing()
	}
	return table.Duration(s.P99.Duration()).As(fmt.Sprintf("%s / %s / %s",
		human.Duration(s.P50.Duration()), human.Duration(s.P99.Duration()),
		human.Duration(s.Max.Duration())))
}

func audited(f func(*Audit) int) func(*Run) table.Cell {
	return func(x *Run) table.Cell {
		if x.Audit == nil {
			return table.Missing()
		}
		return table.Count(int64(f(x.Audit)))
	}
}

// perSecond is a count of the run as a rate.
func (x *Run) perSecond(n uint64) float64 { return float64(n) / float64(x.SecondsCounted) }

// A Term is a row of the table and what it says.
type Term struct{ Row, Meaning string }

// Glossary explains each row of the table, for a command's help.
func Glossary() []Term {
	terms := make([]Term, len(measures))
	for i, m := range measures {
		terms[i] = Term{m.name, m.meaning}
	}
	return terms
}

// Tables shows the runs side by side: what happened, and the messages by kind.
func (r *Result) Tables(s *scenario.Scenario) []*table.Table {
	t := table.New(title(s, r), r.columns("measure")...)
	for _, m := range measures {
		cells := []table.Cell{table.Text(m.name)}
		for _, x := range r.Runs {
			cells = append(cells, m.of(x))
		}
		better := m.better
		if len(r.Runs) < 2 {
			better = "" // nothing to compare with
		}
		t.AddCompared(better, cells...)
	}
	for _, x := range r.Runs {
		r.notes(t, x)
	}
	return []*table.Table{t, r.messages()}
}

func (r *Result) columns(first string) []string {
	columns := []string{first}
	for _, x := range r.Runs {
		columns = append(columns, partitionsText(x.Partitions))
	}
	return columns
}

func (r *Result) notes(t *table.Table, x *Run) {
	of := ""
	if len(r.Runs) > 1 {
		of = fmt.Sprintf(" (%s)", partitionsText(x.Partitions))
	}
	if len(x.QueuePeaks) > 1 {
		t.Note("Deepest queue by partition%s: %s.", of, peaks(x.QueuePeaks))
	}
	if x.Overloaded > 0 || x.Shed > 0 {
		t.Note("Not kept up with%s: %s registrations found no room in time, %s operations were not "+
			"begun.", of,
			human.Count(int64(x.Overloaded)), human.Count(int64(x.Shed))) //nolint:gosec // far below
	}
	if x.EventsMissed > 0 {
		t.Note("Not measured%s: %s events came faster than they were looked at, so that their times "+
			"are missing.", of,
			human.Count(int64(x.EventsMissed))) //nolint:gosec // far below
	}
	if n := x.Counts.ClockClamps + x.Counts.ClockRefused; n > 0 {
		t.Note("Clocks%s: found too far ahead: %d; timestamps of others not followed: %d.", of,
			x.Counts.ClockClamps, x.Counts.ClockRefused)
	}
}

// peaks lists depths, or says from where to where they are if they are many.
func peaks(depths []int) string {
	const most = 32
	if len(depths) > most {
		return fmt.Sprintf("%d to %d", slices.Min(depths), slices.Max(depths))
	}
	return strings.Trim(fmt.Sprint(depths), "[]")
}

// messages is a table of its own: how much of which kind was sent and received.
func (r *Result) messages() *table.Table {
	columns := []string{"message"}
	for _, x := range r.Runs {
		columns = append(columns, "sent, "+partitionsText(x.Partitions), "received")
	}
	t := table.New("Messages of the registry, all nodes together", columns...)
	for _, kind := range []struct {
		name string
		of   func(Messages) uint64
	}{
		{"update: what changed at its origin", func(m Messages) uint64 { return m.Updates }},
		{"summary: a digest, to find differences", func(m Messages) uint64 { return m.Summaries }},
		{"vector: how far a node has come", func(m Messages) uint64 { return m.Vectors }},
		{"pull: a request for what is missing", func(m Messages) uint64 { return m.Pulls }},
		{"chunk: the answer to a pull", func(m Messages) uint64 { return m.Chunks }},
		{"check: which claims still stand?", func(m Messages) uint64 { return m.Checks }},
		{"standing: the answer to a check", func(m Messages) uint64 { return m.Standings }},
		{"all", func(m Messages) uint64 { return m.All() }},
	} {
		cells := []table.Cell{table.Text(kind.name)}
		for _, x := range r.Runs {
			cells = append(cells, count(kind.of(x.Counts.Sent)), count(kind.of(x.Counts.Received)))
		}
		t.Add(cells...)
	}
	cells := []table.Cell{table.Text("bytes of these")}
	for _, x := range r.Runs {
		cells = append(cells, table.Bytes(float64(x.Counts.SentBytes)),
			table.Bytes(float64(x.Counts.ReceivedBytes)))
	}
	t.Add(cells...)
	t.Note("An update is counted once where it is made, and at each of the other nodes that it " +
		"comes to.")
	return t
}

func partitionsText(n int) string {
	if n == 1 {
		return "1 partition"
	}
	return fmt.Sprintf("%d partitions", n)
}
