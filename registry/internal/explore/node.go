package explore

import (
	"encoding/binary"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// pause is the length of a tick: longer than every interval of the protocol, however often it was
// doubled.
const pause = time.Hour

var (
	nodeNames = [...]string{"a", "b", "c"}
	nameNames = [...]string{"x", "y"}
)

// A node is a state of one node's replica and clock. It is never changed: a step makes a copy.
type node struct {
	core  *replica.Partition
	clock *hlc.Clock
	mono  time.Duration
	self  int
	up    uint8 // bits of the nodes that membership shows as up

	// Answers of the core, read once.
	pending bool
	synced  bool
	caught  bool
	own     [2]*replica.Record
	shows   [2]*replica.Record
	claims  [2][]*replica.Record
	marks   [3]replica.Entry // by origin; zero for those that are not up
}

func (w *World) newNode(self int, run uint8) *node {
	n := &node{clock: hlc.New(1 << 60), mono: pause, self: self}
	c := replica.Config{
		Self: nodeNames[self], Incarnation: w.incarnation(run), Clock: n.clock,
		Limits: replica.Limits{ForgetAfter: 1000 * pause * 1000},
	}
	if w.Oldest {
		c.Compare = func(a, b *replica.Record) int { return b.Time.Compare(a.Time) }
	}
	if w.NoTombs {
		c.Tombstones, c.ChunkBytes, c.BlockRecords = -1, 1, 1
	}
	if w.Forget {
		c.ForgetAfter = pause / 2
	}
	n.core = replica.New(c)
	n.core.Tick(n.at()) // sets the time of the first probe
	n.mono += pause
	n.read()
	return n
}

func (n *node) at() replica.At { return replica.At{Wall: epoch, Mono: n.mono} }

// copy returns a copy, which may be changed until read.
func (n *node) copy(publish func(string, *replica.Record)) *node {
	c := &node{clock: n.clock.Clone(), mono: n.mono, self: n.self, up: n.up}
	c.core = n.core.Clone(c.clock, publish)
	return c
}

// read stores the core's answers.
func (n *node) read() {
	names, _ := n.core.Pending()
	n.pending, n.synced, n.caught = names > 0, n.core.Synced(), n.core.CaughtUp()
	for i, name := range nameNames {
		n.own[i], n.shows[i], n.claims[i] = n.core.Own(name), n.core.Lookup(name), n.core.Claims(name)
	}
	// the answer to a probe with another hash
	probe := n.core.Clone(n.clock.Clone(), nil)
	probe.Receive(n.at(), "", &replica.Summary{})
	if v, ok := probe.Take().Send[0].Message.(*replica.Vector); ok {
		for _, e := range v.Entries {
			n.marks[nodeIndex(e.Origin)] = e
		}
	}
}

// key returns bytes that differ for nodes which may behave differently.
func (n *node) key() string {
	b := []byte{byte(n.self), n.up}
	// The clock's next reading determines it: Heard is never called here.
	next := n.clock.Clone().Now(0)
	b = binary.AppendVarint(b, next.Nanos)
	b = binary.AppendUvarint(b, uint64(next.Logical))
	return string(n.core.AppendState(b, n.at()))
}

func nodeIndex(name string) int {
	for i, n := range nodeNames {
		if n == name {
			return i
		}
	}
	panic("explore: no node " + name)
}
