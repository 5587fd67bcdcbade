package explore

import (
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/table"
)

// A Report holds the numbers of a search.
type Report struct {
	World       string
	States      int // distinct states of the world
	Transitions int // actions from one to another
	Depth       int // actions on the longest of the shortest paths
	Judged      int // states that were brought to rest and judged
	Rests       int // distinct states of rest
	Nodes       int // distinct states of single nodes
	Messages    int // distinct messages
	Elapsed     time.Duration
	Complete    bool // the search ended because there was nothing left to see

	Violation *Violation
	Path      []string // the shortest way there, in words
}

// Table lists reports, one a line.
func Table(reports []Report) string {
	t := table.New("", "world", "states", "transitions", "depth", "judged", "at rest", "node states",
		"messages", "time", "")
	var sum Report
	for _, r := range reports {
		end := "all"
		switch {
		case r.Violation != nil:
			end = r.Violation.Invariant
		case !r.Complete:
			end = "cut off"
		}
		t.Add(line(r, end)...)
		sum.States += r.States
		sum.Transitions += r.Transitions
		sum.Depth = max(sum.Depth, r.Depth)
		sum.Judged += r.Judged
		sum.Rests += r.Rests
		sum.Nodes += r.Nodes
		sum.Messages += r.Messages
		sum.Elapsed += r.Elapsed
	}
	sum.World = "together"
	t.Add(line(sum, "")...)
	var b strings.Builder
	if err := t.WriteText(&b, table.Style{}); err != nil {
		return err.Error()
	}
	return b.String()
}

func line(r Report, end string) []table.Cell {
	count := func(n int) table.Cell { return table.Count(int64(n)) }
	return []table.Cell{
		table.Text(r.World), count(r.States), count(r.Transitions), count(r.Depth), count(r.Judged),
		count(r.Rests),
		count(r.Nodes), count(r.Messages), table.Duration(r.Elapsed.Round(time.Millisecond)),
		table.Text(end),
	}
}
