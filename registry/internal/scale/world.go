package scale

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// Constants of the shell and the network, equal to those of packages registry and mesh.
const (
	window       = 2 * time.Millisecond
	tickEvery    = 50 * time.Millisecond
	compareEvery = 2 * time.Second
	gossipEvery  = 50 * time.Millisecond
	gossipNodes  = 3
	gossipAbove  = 32
	retransmits  = 3
	gossipDepth  = 32
	packetSize   = 1400
	updateBytes  = 1200
	bulkBytes    = 64 << 10
	bulkNames    = 16
)

// epoch is the reading of all wall clocks at the start.
const epoch = 1_700_000_000_000_000_000

// Delays of a message: from, to.
var delay = [2]time.Duration{200 * time.Microsecond, time.Millisecond}

// A World is a partition of each of some nodes, and the network between them.
type World struct {
	now     time.Duration
	queue   events
	turn    int
	rand    *rand.Rand
	nodes   []*node
	byName  map[string]*node
	updates map[*byte]*replica.Update // by the first byte of a broadcast
	counts  [paths]Count

	waited    map[string]*spread
	spreading int // those of them that some node does not show yet
}

// A spread is the progress of a name.
type spread struct {
	from time.Duration
	took time.Duration // until the last node showed it
	left int           // nodes that do not show it
}

// A Count counts the messages and bytes that crossed the wire.
type Count struct{ Messages, Bytes int }

func (c *Count) add(bytes int) { c.Messages++; c.Bytes += bytes }

// The paths of messages.
const (
	straight = iota // updates in packets
	gossip
	digests // and summaries
	vectors
	chunks // and pulls, and updates over connections
	paths
)

type node struct {
	*replica.Partition
	world    *World
	name     string
	inc      uint64
	gossip   memberlist.TransmitLimitedQueue
	phase    time.Duration
	rounds   bool // a round of gossip is scheduled
	flushing bool
	tickAt   time.Duration // when the core is ticked; 0: never
	up       []string      // the others that it sees up
	isUp     map[string]bool
	sent     int // bytes
	got      [paths]int
	names    int // that it shows
}

type event struct {
	at   time.Duration
	turn int
	do   func()
}

// events is a heap of pointers, so that container/heap allocates nothing for each.
type events struct{ list []*event }

func (q *events) Len() int { return len(q.list) }
func (q *events) Less(i, j int) bool {
	a, b := q.list[i], q.list[j]
	return a.at < b.at || a.at == b.at && a.turn < b.turn
}
func (q *events) Swap(i, j int) { q.list[i], q.list[j] = q.list[j], q.list[i] }

// Push is called by package heap, with an event.
func (q *events) Push(x any) {
	if e, ok := x.(*event); ok {
		q.list = append(q.list, e)
	}
}

// Pop is called by package heap.
func (q *events) Pop() any {
	last := q.list[len(q.list)-1]
	q.list[len(q.list)-1] = nil
	q.list = q.list[:len(q.list)-1]
	return last
}

func (w *World) after(d time.Duration, f func()) {
	w.turn++
	heap.Push(&w.queue, &event{w.now + d, w.turn, f})
}

// Run lets time pass until done returns true, and reports whether it did.
func (w *World) Run(d time.Duration, done func() bool) bool {
	end := w.now + d
	for !done() {
		if w.queue.Len() == 0 || w.queue.list[0].at > end {
			w.now = end
			return false
		}
		e := w.queue.list[0]
		heap.Pop(&w.queue)
		w.now = e.at
		e.do()
	}
	return true
}

func never() bool { return false }

func nodeName(i int) string { return fmt.Sprintf("node-%04d", i) }

func nameOf(i int) string { return fmt.Sprintf("scale/%010d", i) }

func metaOf() []byte { return []byte("10.20.30.40:5678") }

// New returns a world of nodes that all see each other, have caught up, and hold an equal share of
// the names each. The seed decides all random choices.
func New(nodes, names int, seed uint64) *World {
	w := &World{
		rand:   rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // the choice of a peer is no secret
		byName: make(map[string]*node), updates: make(map[*byte]*replica.Update),
		now: time.Hour, waited: make(map[string]*spread),
	}
	for i := range nodes {
		w.add(nodeName(i))
	}
	vector := &replica.Vector{}
	all := make([]string, nodes)
	for i, n := range w.nodes {
		all[i] = n.name
		e := replica.Entry{Origin: n.name, Incarnation: n.inc, Visible: true}
		vector.Entries = append(vector.Entries, e)
	}
	for _, n := range w.nodes {
		for _, other := range w.nodes {
			if other != n {
				n.see(other, true)
			}
		}
		n.Receive(n.at(), all[(len(w.byName)+1)%nodes], vector) // which speaks for all
		n.Take()
	}
	for i, n := range w.nodes {
		for k := i; k < names; k += nodes {
			n.Register(n.at(), nameOf(k), metaOf())
		}
		for _, u := range n.Flush(bulkBytes, 0) {
			for _, other := range w.nodes {
				if other != n {
					other.Receive(other.at(), n.name, u)
					other.Take()
				}
			}
		}
		n.Take()
	}
	for _, n := range w.nodes {
		n.begin()
	}
	return w
}

// add adds a node that sees no other.
func (w *World) add(name string) *node {
	n := &node{world: w, name: name, isUp: make(map[string]bool)}
	n.inc = epoch + uint64(len(w.nodes)) //nolint:gosec // not negative
	n.phase = w.between(0, tickEvery)
	n.gossip.RetransmitMult = retransmits
	n.gossip.NumNodes = func() int { return len(n.up) + 1 }
	n.Partition = replica.New(replica.Config{
		Self: name, Incarnation: n.inc, Clock: hlc.New(time.Minute), Seed: w.rand.Uint64(),
		Compared: true,
		Publish:  n.publish,
	})
	w.nodes = append(w.nodes, n)
	w.byName[name] = n
	return n
}

// publish counts the names that a node shows.
func (n *node) publish(name string, winner *replica.Record) {
	if winner == nil {
		n.names--
		return
	}
	n.names++
	if s := n.world.waited[name]; s != nil {
		s.left--
		if s.left == 0 {
			s.took = n.world.now - s.from
			n.world.spreading--
		}
	}
}

// begin schedules a node's own actions.
func (n *node) begin() {
	n.world.after(n.world.between(0, compareEvery), n.compare)
	n.soon()
}

func (w *World) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rand.Int64N(int64(to-from)))
}

func (n *node) at() replica.At {
	return replica.At{Wall: epoch + int64(n.world.now), Mono: n.world.now}
}

// see makes a node see another up or down.
func (n *node) see(other *node, up bool) {
	if n.isUp[other.name] == up {
		return
	}
	n.isUp[other.name] = up
	if up {
		n.up = append(n.up, other.name)
		n.NodeUp(n.at(), other.name, other.inc)
		return
	}
	for i, name := range n.up {
		if name == other.name {
			n.up[i] = n.up[len(n.up)-1]
			n.up = n.up[:len(n.up)-1]
			break
		}
	}
	n.NodeDown(n.at(), other.name, false)
}

// grid returns the time until the node's next periodic moment.
func (n *node) grid(every, least time.Duration) time.Duration {
	late := (n.world.now + least - n.phase) % every
	if late == 0 {
		return least
	}
	return least + every - late
}

// soon schedules a tick of the core some time after an input, as the alarm does.
func (n *node) soon() { n.tickAfter(n.grid(tickEvery, tickEvery/2)) }

func (n *node) tickAfter(d time.Duration) {
	at := n.world.now + d
	if n.tickAt != 0 && n.tickAt <= at {
		return
	}
	n.tickAt = at
	n.world.after(d, func() {
		if n.tickAt != at {
			return // another moment was set meanwhile
		}
		n.tickAt = 0
		n.Tick(n.at())
		n.takeEffects()
		if due, ok := n.Next(n.at()); ok {
			n.tickAfter(n.grid(tickEvery, max(due-n.world.now, 1)))
		}
	})
}

// compare sends the node's digest to another one.
func (n *node) compare() {
	w := n.world
	w.after(w.between(compareEvery*7/8, compareEvery*9/8), n.compare)
	if len(n.up) == 0 {
		return
	}
	to := w.byName[n.up[w.rand.IntN(len(n.up))]]
	root := n.Root()
	n.transmit(to, digests, &replica.Summary{Root: root}, func() {
		if to.isUp[n.name] && to.Root() != root {
			to.deliver(n, digests, &replica.Summary{Root: to.Root()})
		}
	})
}

// takeEffects takes and performs the effects of the core's inputs.
func (n *node) takeEffects() {
	out := n.Take()
	for _, e := range out.Send {
		path := vectors
		switch e.Message.Kind() {
		case replica.KindPull, replica.KindChunk:
			path = chunks
		case replica.KindSummary:
			path = digests
		case replica.KindVector, replica.KindUpdate:
		}
		n.deliver(n.world.byName[e.To], path, e.Message)
	}
	for _, u := range out.Relay {
		if len(n.up) >= gossipAbove && n.gossip.NumQueued() < gossipDepth {
			n.broadcast(u)
		}
	}
	if names, _ := n.Pending(); names > 0 && !n.flushing {
		n.flushing = true
		n.world.after(window, n.flush)
	}
}

func (n *node) flush() {
	n.flushing = false
	names, _ := n.Pending()
	bulk := names > bulkNames
	bytes := updateBytes
	if bulk {
		bytes = bulkBytes
	}
	for _, u := range n.Flush(bytes, 0) {
		switch {
		case !bulk && len(n.up) < gossipAbove:
			n.toAll(straight, u)
		case !bulk && n.gossip.NumQueued() < gossipDepth:
			n.broadcast(u)
		default:
			n.toAll(chunks, u)
		}
	}
	n.takeEffects()
}

func (n *node) toAll(path int, u *replica.Update) {
	for _, name := range n.up {
		n.deliver(n.world.byName[name], path, u)
	}
}

// size returns the bytes of a message on the wire, alone in a frame.
func (n *node) size(m replica.Message) int {
	return 1 + wire.HeaderSize(n.name) + wire.Item{Message: m}.Size()
}

// deliver sends a message to another's core.
func (n *node) deliver(to *node, path int, m replica.Message) {
	n.transmit(to, path, m, func() {
		if !to.isUp[n.name] {
			return
		}
		to.Receive(to.at(), n.name, m)
		to.takeEffects()
		to.soon()
	})
}

// transmit counts a message and calls f when it arrives.
func (n *node) transmit(to *node, path int, m replica.Message, f func()) {
	n.count(to, path, n.size(m))
	n.world.after(n.world.between(delay[0], delay[1]), f)
}

func (n *node) count(to *node, path, bytes int) {
	n.world.counts[path].add(bytes)
	n.sent += bytes
	to.got[path] += bytes
}

// A broadcast is an update for memberlist's queue.
type broadcast []byte

func (broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) Message() []byte                     { return b }
func (broadcast) Finished()                             {}
func (broadcast) UniqueBroadcast()                      {}

func (n *node) broadcast(u *replica.Update) {
	b := make(broadcast, n.size(u))
	n.world.updates[&b[0]] = u
	n.gossip.QueueBroadcast(b)
	if !n.rounds {
		n.rounds = true
		n.world.after(n.grid(gossipEvery, 1), n.round)
	}
}

// round sends a packet of broadcasts to each of some random nodes, as memberlist does.
func (n *node) round() {
	w := n.world
	for range gossipNodes {
		batch := n.gossip.GetBroadcasts(2, packetSize)
		if len(batch) == 0 {
			break
		}
		to := w.byName[n.up[w.rand.IntN(len(n.up))]]
		for _, b := range batch {
			u := w.updates[&b[0]]
			n.count(to, gossip, len(b))
			w.after(w.between(delay[0], delay[1]), func() {
				to.Receive(to.at(), n.name, u)
				to.takeEffects()
				to.soon()
			})
		}
	}
	if n.rounds = n.gossip.NumQueued() > 0; n.rounds {
		w.after(gossipEvery, n.round)
	}
}
