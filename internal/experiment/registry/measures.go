package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/table"
)

// measures are the rows of the first table.
var measures = []lab.Measure[*Run]{
	{Name: "start: names visible everywhere after", Better: table.Lower,
		Of: func(x *Run) table.Cell { return table.Seconds(float64(x.Setup)) },
		Meaning: "from the first registration of the names that are there from the start (--names, as " +
			"fast as they are taken) until all nodes showed them all"},
	{Name: "registered / released",
		Of:      func(x *Run) table.Cell { return table.Counts(x.Registered, x.Released) },
		Meaning: "changes that were made within the run"},
	{Name: "refused: name still taken",
		Of: func(x *Run) table.Cell { return table.Count(x.Taken) },
		Meaning: "registrations of names that were free again, on a node that did not know it yet, or " +
			"could not"},
	{Name: "visible elsewhere, before: p50 / p99 / max", Better: table.Lower,
		Of: func(x *Run) table.Cell { return x.Visible.Before.Cell() },
		Meaning: "from when a registration was meant to be made until another node showed it, each of " +
			"the other nodes counted; of registrations made before the window"},
	{Name: "visible elsewhere, during: p50 / p99 / max", Better: table.Lower,
		Of:      func(x *Run) table.Cell { return x.Visible.During.Cell() },
		Meaning: "the same of those made within it; across a split they have to wait for its end"},
	{Name: "visible elsewhere, after: p50 / p99 / max", Better: table.Lower,
		Of:      func(x *Run) table.Cell { return x.Visible.After.Cell() },
		Meaning: "the same of those made after it"},
	{Name: "whole again after the disturbance", Better: table.Lower,
		Of: func(x *Run) table.Cell { return table.Seconds(float64(x.Whole)) },
		Meaning: "from the end of the disturbance (for kill: from the kill) until every node showed " +
			"what had been changed by then; a dash: not within the run"},
	{Name: "all agree after the load", Better: table.Lower,
		Of:      func(x *Run) table.Cell { return table.Seconds(float64(x.Settled)) },
		Meaning: "from the last change until all nodes showed the same, which is what was really done"},
	{Name: "views behind, peak", Better: table.Lower,
		Of: func(x *Run) table.Cell { return table.Count(x.BehindPeak) },
		Meaning: "a view is one name on one node; this is the largest number that were not what they " +
			"must be at one time"},
	{Name: "nodes taken for down",
		Of: func(x *Run) table.Cell { return table.Count(x.Counts.NodesDown) },
		Meaning: "times that a node took another one for down, and hid its names: of nodes that were " +
			"killed or cut off that is as it should be"},
	{Name: "claims that died with their node",
		Of: func(x *Run) table.Cell { return table.Count(x.Died) }, Meaning: "of nodes that were killed"},
	{Name: "names claimed by two nodes",
		Of: func(x *Run) table.Cell { return part(x.Conflicts.Both, x.Conflicts.Names) },
		Meaning: "conflicts, of the names that two nodes asked for (--contested); in the others one " +
			"came first and the other was refused"},
	{Name: "losers notified",
		Of:      func(x *Run) table.Cell { return part(x.Conflicts.Told, x.Conflicts.Losers) },
		Meaning: "holders whose registration ended with ErrConflict, of those that lost"},
	{Name: "names with two holders at the end", Better: table.Lower,
		Of: audited(func(a *Audit) int { return a.TwoHolders }), Meaning: "must be 0"},
	{Name: "names with the wrong holder at the end", Better: table.Lower,
		Of:      audited(func(a *Audit) int { return a.WrongWinner }),
		Meaning: "the claim that is left is not the one that the resolver prefers; must be 0"},
	{Name: "zombies at the end", Better: table.Lower,
		Of:      audited(func(a *Audit) int { return a.Zombies }),
		Meaning: "views of a holder that is gone; must be 0"},
	{Name: "disagreements at the end", Better: table.Lower,
		Of:      audited(func(a *Audit) int { return a.Disagreements }),
		Meaning: "names on which two nodes differ; must be 0"},
	{Name: "queue depth, peak", Better: table.Lower,
		Of: func(x *Run) table.Cell { return part(x.QueuePeak, x.QueueLimit) },
		Meaning: "names that waited to be sent, in the deepest queue of any partition on any node, of " +
			"the number at which registering has to wait"},
	{Name: "messages sent per second", Better: table.Lower,
		Of:      func(x *Run) table.Cell { return table.Rate(x.perSecond(x.Counts.Sent.all())) },
		Meaning: "of the registry, by all nodes together, what gossip repeats counted once"},
	{Name: "on the wire per second", Better: table.Lower,
		Of: func(x *Run) table.Cell {
			b := table.Bytes(x.perSecond(x.Counts.WireBytes))
			return b.As(b.String() + "/s")
		},
		Meaning: "sent by all nodes together, with all that membership needs"},
	{Name: "on the wire per change", Better: table.Lower,
		Of: func(x *Run) table.Cell {
			return table.Bytes(float64(x.Counts.WireBytes) / float64(x.Registered+x.Released))
		},
		Meaning: "the same, for each registration and release"},
	{Name: "gaps seen / pulls / resyncs",
		Of: func(x *Run) table.Cell {
			return table.Counts(x.Counts.Gaps, x.Counts.Pulls, x.Counts.Resyncs)
		},
		Meaning: "updates before which something was missing, requests for what was missing, and times " +
			"that the whole of a node's claims was fetched"},
	{Name: "heap of the tables, peak", Better: table.Lower,
		Of:      func(x *Run) table.Cell { return table.Bytes(float64(x.HeapPeak)) },
		Meaning: "estimated, of one node"},
}

func part(n, of int) table.Cell { return table.Count(n).As(partText(n, of)) }

func partText(n, of int) string { return human.Count(n) + " of " + human.Count(of) }

func audited(f func(*Audit) int) func(*Run) table.Cell {
	return func(x *Run) table.Cell {
		if x.Audit == nil {
			return table.Missing()
		}
		return table.Count(f(x.Audit))
	}
}

// perSecond returns a count of the run as a rate.
func (x *Run) perSecond(n uint64) float64 { return float64(n) / float64(x.SecondsCounted) }

// tables shows the runs side by side: what happened, and the messages by kind.
func (r *Result) tables(p *Params) []*table.Table {
	columns := []string{"measure"}
	for _, x := range r.Runs {
		columns = append(columns, partitionsText(x.Partitions))
	}
	t := table.New(r.headline(p), columns...)
	lab.Compare(t, r.Runs, measures)
	for _, x := range r.Runs {
		of := ""
		if len(r.Runs) > 1 {
			of = fmt.Sprintf(" (%s)", partitionsText(x.Partitions))
		}
		x.notes(t, of)
	}
	return []*table.Table{t, r.messages()}
}

func (x *Run) notes(t *table.Table, of string) {
	if len(x.QueuePeaks) > 1 {
		t.Note("Deepest queue by partition%s: %s.", of, peaks(x.QueuePeaks))
	}
	if x.Overloaded > 0 || x.Shed > 0 {
		t.Note("Not kept up with%s: %s registrations found no room in time, %s operations were not "+
			"begun.", of, table.Count(x.Overloaded), table.Count(x.Shed))
	}
	if x.EventsMissed > 0 {
		t.Note("Not measured%s: %s events came faster than they were looked at, so that their times "+
			"are missing.", of, table.Count(x.EventsMissed))
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

// messages returns a table of what was sent and received.
func (r *Result) messages() *table.Table {
	columns := []string{"message"}
	for _, x := range r.Runs {
		columns = append(columns, "sent, "+partitionsText(x.Partitions), "received")
	}
	t := table.New("Messages of the registry, all nodes together", columns...)
	row := func(name string, of func(*Run) []table.Cell) {
		cells := []table.Cell{table.Text(name)}
		for _, x := range r.Runs {
			cells = append(cells, of(x)...)
		}
		t.Add(cells...)
	}
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
		{"all", Messages.all},
	} {
		row(kind.name, func(x *Run) []table.Cell {
			return []table.Cell{table.Count(kind.of(x.Counts.Sent)),
				table.Count(kind.of(x.Counts.Received))}
		})
	}
	row("bytes of these", func(x *Run) []table.Cell {
		return []table.Cell{table.Bytes(float64(x.Counts.SentBytes)),
			table.Bytes(float64(x.Counts.ReceivedBytes))}
	})
	t.Note("An update is counted once where it is made, and at each of the other nodes that it " +
		"comes to.")
	return t
}
