package registry

import (
	"reflect"

	"github.com/snowfence/snowfence/registry"
)

// A nodeCount holds a node's counters. Those that say how much there is now are left out of sums
// over time.
type nodeCount struct {
	Names     int
	Queue     int    // the depth of the deepest queue now
	QueueHigh int    // the depth that any queue had at most
	Heap      uint64 // of the tables
	ByPart    []int  // the high-water mark of each partition
	Totals
}

// Totals counts what went on, since a node was opened or, in a result, within the run and over all
// nodes.
type Totals struct {
	Sent     Messages `json:"sent"`
	Received Messages `json:"received"`

	// What the transport carried: packets, streams and bytes sent, all of memberlist's own traffic
	// included.
	Packets   uint64 `json:"packets"`
	Streams   uint64 `json:"streams"`
	WireBytes uint64 `json:"wire_bytes"`

	// of the registry's messages, what is repeated counted once
	SentBytes     uint64 `json:"sent_bytes"`
	ReceivedBytes uint64 `json:"received_bytes"`

	Gaps          uint64 `json:"gaps"`
	Pulls         uint64 `json:"pulls"`
	Resyncs       uint64 `json:"resyncs"`
	Conflicts     uint64 `json:"conflicts"` // seen, by each node
	Lost          uint64 `json:"lost"`
	Disagreements uint64 `json:"disagreements"`
	InboxDropped  uint64 `json:"inbox_dropped"`
	NodesDown     uint64 `json:"nodes_down"` // times that a node took another for down
	ClockClamps   uint64 `json:"clock_clamps"`
	ClockRefused  uint64 `json:"clock_refused"`
}

// Messages counts the registry's messages by kind.
type Messages struct {
	Updates   uint64 `json:"updates"`
	Summaries uint64 `json:"summaries"`
	Vectors   uint64 `json:"vectors"`
	Pulls     uint64 `json:"pulls"`
	Chunks    uint64 `json:"chunks"`
	Checks    uint64 `json:"checks"`
	Standings uint64 `json:"standings"`
}

// all returns the sum of all kinds.
func (m Messages) all() uint64 {
	return m.Updates + m.Summaries + m.Vectors + m.Pulls + m.Chunks + m.Checks + m.Standings
}

// countOf takes a node's counters from its statistics.
func countOf(s registry.Stats) nodeCount {
	c := nodeCount{Names: s.Names, Heap: s.HeapBytes}
	c.ClockClamps, c.ClockRefused = s.Clock.Clamps, s.Clock.Refused
	for i := range s.Partitions {
		p := &s.Partitions[i]
		c.Queue, c.QueueHigh = max(c.Queue, p.Queue), max(c.QueueHigh, p.QueueHigh)
		c.ByPart = append(c.ByPart, p.QueueHigh)
		c.add(Totals{
			Sent: Messages(p.Sent), Received: Messages(p.Received),
			SentBytes: p.SentBytes, ReceivedBytes: p.ReceivedBytes,
			Gaps: p.Gaps, Pulls: p.Pulls, Resyncs: p.Resyncs, Conflicts: p.Conflicts, Lost: p.Lost,
			Disagreements: p.Disagreements, InboxDropped: p.InboxDropped,
		})
	}
	return c
}

// add adds what o counted.
func (t *Totals) add(o Totals) { each(t, o, func(a, b uint64) uint64 { return a + b }) }

// since returns what was counted after o. A counter that began anew counts as 0.
func (t *Totals) since(o Totals) Totals {
	d := *t
	each(&d, o, func(a, b uint64) uint64 { return a - min(a, b) })
	return d
}

// each sets every counter of t to what f makes of it and of that of o.
func each(t *Totals, o Totals, f func(a, b uint64) uint64) {
	var walk func(a, b reflect.Value)
	walk = func(a, b reflect.Value) {
		for i := range a.NumField() {
			if x, y := a.Field(i), b.Field(i); x.Kind() == reflect.Struct {
				walk(x, y)
			} else {
				x.SetUint(f(x.Uint(), y.Uint()))
			}
		}
	}
	walk(reflect.ValueOf(t).Elem(), reflect.ValueOf(o))
}
