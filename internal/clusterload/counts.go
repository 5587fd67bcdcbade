package clusterload

import (
	"github.com/snowfence/snowfence/registry"
)

// A nodeCount is a node's counters. Those that say how much there is now are left out of sums over
// time.
type nodeCount struct {
	Names int `json:"names"`

	Queue     int     `json:"queue"`      // the deepest of its partitions now
	QueueHigh int     `json:"queue_high"` // the deepest that any was
	QueueAge  float64 `json:"queue_age"`  // of the oldest change that waits, in seconds
	Heap      uint64  `json:"heap"`
	ByPart    []int   `json:"by_part,omitempty"` // the high-water mark of each partition

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

// All is the sum of all kinds.
func (m *Messages) All() uint64 {
	return m.Updates + m.Summaries + m.Vectors + m.Pulls + m.Chunks + m.Checks + m.Standings
}

// countOf takes a node's counters from its statistics.
func countOf(s registry.Stats) nodeCount {
	c := nodeCount{Names: s.Names, Heap: s.HeapBytes}
	c.ClockClamps, c.ClockRefused = s.Clock.Clamps, s.Clock.Refused
	for i := range s.Partitions {
		p := &s.Partitions[i]
		c.Queue, c.QueueHigh = max(c.Queue, p.Queue), max(c.QueueHigh, p.QueueHigh)
		c.QueueAge = max(c.QueueAge, p.QueueAge.Seconds())
		c.ByPart = append(c.ByPart, p.QueueHigh)
		c.Sent.add(Messages(p.Sent))
		c.Received.add(Messages(p.Received))
		c.SentBytes += p.SentBytes
		c.ReceivedBytes += p.ReceivedBytes
		c.Gaps += p.Gaps
		c.Pulls += p.Pulls
		c.Resyncs += p.Resyncs
		c.Conflicts += p.Conflicts
		c.Lost += p.Lost
		c.Disagreements += p.Disagreements
		c.InboxDropped += p.InboxDropped
	}
	return c
}

// each calls f with every counter of both, in one order.
func (t *Totals) each(o *Totals, f func(a *uint64, b uint64)) {
	t.Sent.each(&o.Sent, f)
	t.Received.each(&o.Received, f)
	f(&t.Packets, o.Packets)
	f(&t.Streams, o.Streams)
	f(&t.WireBytes, o.WireBytes)
	f(&t.SentBytes, o.SentBytes)
	f(&t.ReceivedBytes, o.ReceivedBytes)
	f(&t.Gaps, o.Gaps)
	f(&t.Pulls, o.Pulls)
	f(&t.Resyncs, o.Resyncs)
	f(&t.Conflicts, o.Conflicts)
	f(&t.Lost, o.Lost)
	f(&t.Disagreements, o.Disagreements)
	f(&t.InboxDropped, o.InboxDropped)
	f(&t.NodesDown, o.NodesDown)
	f(&t.ClockClamps, o.ClockClamps)
	f(&t.ClockRefused, o.ClockRefused)
}

func (m *Messages) each(o *Messages, f func(a *uint64, b uint64)) {
	f(&m.Updates, o.Updates)
	f(&m.Summaries, o.Summaries)
	f(&m.Vectors, o.Vectors)
	f(&m.Pulls, o.Pulls)
	f(&m.Chunks, o.Chunks)
	f(&m.Checks, o.Checks)
	f(&m.Standings, o.Standings)
}

func (m *Messages) add(o Messages) { m.each(&o, func(a *uint64, b uint64) { *a += b }) }

// add adds what o counted.
func (t *Totals) add(o Totals) { t.each(&o, func(a *uint64, b uint64) { *a += b }) }

// since returns what was counted after o.
func (t *Totals) since(o Totals) Totals {
	d := *t
	d.each(&o, func(a *uint64, b uint64) { *a -= min(*a, b) })
	return d
}
