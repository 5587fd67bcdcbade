package sim

import (
	"bytes"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A node is one core for each partition, and a model of the shell around them.
type node struct {
	world *World
	id    int
	name  string
	dice  dice
	skew  time.Duration

	alive, paused bool
	life          uint32 // counts starts
	born          time.Duration
	incarnation   uint64
	clock         *hlc.Clock
	cores         []core
	views         []view
	inbox         []event
	compareAt     time.Duration // when the node compares its cores with another's
	newest        hlc.Timestamp // of its claims
	turned        int           // names that it turned over
	changes       int           // that it made
	old           [8]event      // messages for Echo
}

// A core is one partition's replica, and the world's expectations of it.
type core struct {
	*replica.Partition
	own       map[string]*replica.Record // claims that the node made and did not lose
	shows     map[string]*replica.Record // the events, replayed
	members   map[member]*replica.Record // the events of shared names, replayed
	published map[string]*replica.Record
	flushed   map[string]*replica.Record // the newest records handed out, in incarnation flushedIn
	flushedIn uint64
	ticks     int
	touched   bool   // there was an input other than ticks since all names were checked
	root      uint64 // of the last summary, and when it was sent
	rootAt    time.Duration
}

// A member identifies a node's claim on a shared name.
type member struct{ name, node string }

func (n *node) wall() int64 { return epoch + int64(n.world.now+n.skew) }

func (n *node) at() replica.At { return replica.At{Wall: n.wall(), Mono: n.world.now - n.born} }

// start starts the node, with empty cores.
func (n *node) start() {
	w := n.world
	n.alive, n.paused, n.inbox = true, false, nil
	n.life++
	n.born = w.now
	inc := uint64(n.wall())
	if inc == n.incarnation {
		inc++
	}
	n.incarnation = inc
	n.compareAt = w.now
	n.clock = hlc.New(w.setup.MaxSkew)
	n.newest = hlc.Timestamp{}
	n.views = make([]view, len(w.nodes))
	n.cores = make([]core, w.setup.Partitions)
	for i := range n.cores {
		c := &n.cores[i]
		c.own = make(map[string]*replica.Record)
		c.shows = make(map[string]*replica.Record)
		c.members = make(map[member]*replica.Record)
		c.published = make(map[string]*replica.Record)
		c.flushed = make(map[string]*replica.Record)
		published := c.published
		c.Partition = replica.New(replica.Config{
			Self:        n.name,
			Partition:   i,
			Incarnation: inc,
			Clock:       n.clock,
			Seed:        n.dice.next(),
			Compare:     w.setup.Resolver.compare(),
			Shared:      w.setup.shared,
			Compared:    w.setup.Compared,
			Publish: func(name string, winner *replica.Record) {
				if winner == nil {
					delete(published, name)
				} else {
					published[name] = winner
				}
			},
			Limits: w.setup.Limits,
		})
	}
	w.schedule(event{at: w.now + n.tickIn(), do: tick, node: int32(n.id), life: n.life})
	n.beginChurn()
}

func (n *node) tickIn() time.Duration {
	return n.dice.between(n.world.setup.TickEvery/2, n.world.setup.TickEvery)
}

func (n *node) crash() {
	if !n.alive {
		return
	}
	for i := range n.cores {
		for name := range n.cores[i].own {
			n.world.dirty[name] = true
		}
	}
	for _, e := range n.inbox {
		n.world.unheard(&e)
	}
	n.alive, n.inbox = false, nil
}

// unheard removes an event that will not happen from the counts.
func (w *World) unheard(e *event) {
	switch e.do {
	case deliver:
		w.landed(e.msg)
	case check:
		w.checks--
		w.nodes[e.node].views[e.from].checking = false
	}
}

func (n *node) resume() {
	if !n.paused || !n.alive {
		return
	}
	n.paused = false
	inbox := n.inbox
	n.inbox = nil
	for i := range inbox {
		n.world.happen(&inbox[i])
	}
}

// leave releases all names, notifies the other nodes, and ends.
func (n *node) leave() {
	if !n.alive || n.paused {
		return
	}
	for _, name := range n.ownNames() {
		n.unregister(name, replica.WhyClosed)
	}
	for i := range n.cores {
		n.flush(i, 0)
	}
	for _, other := range n.world.nodes {
		if other.alive && n.world.reach(n.id, other.id) {
			other.views[n.id].left = true
		}
	}
	n.crash()
}

func (n *node) ownNames() []string {
	var names []string
	if n.alive {
		for i := range n.cores {
			n.cores[i].OwnNames(func(r *replica.Record) bool {
				names = append(names, r.Name)
				return true
			})
		}
	}
	return names
}

func (n *node) register(name string, meta []byte) *replica.Record {
	if !n.alive || n.paused {
		return nil
	}
	w := n.world
	part := w.part(name)
	c := &n.cores[part]
	before, shared := c.Lookup(name), w.setup.shared(name)
	own, taken := c.Register(n.at(), name, meta)
	if shared {
		before = c.own[name]
	}
	if (own == nil) == (before == nil) || own == nil && !same(taken, before) {
		w.violated("RegisterIsHonest", "%s registers %q, of which it shows %v: got %v, taken %v", n.name,
			name, before, own, taken)
	}
	if own != nil {
		w.note(n, own)
		c.own[name] = own
		n.monotone(own)
		n.changes++
	}
	n.takeEffects(part, input{local: name})
	return own
}

func (n *node) update(name string, meta []byte) {
	if !n.alive || n.paused {
		return
	}
	part := n.world.part(name)
	c := &n.cores[part]
	was := c.own[name]
	own := c.Update(n.at(), name, meta)
	if own == nil && was != nil {
		// A claim may lose by new metadata, at once. Then takeEffects must see a loss.
		if lost := c.Own(name); lost != nil {
			n.world.violated("OwnAuthority", "%s updates %q, which it holds, and the update is refused",
				n.name, name)
		}
	}
	if own != nil {
		if was == nil || own.Time != was.Time {
			n.world.violated("OwnAuthority", "%s updates %q: was %v, is %v", n.name, name, was, own)
		}
		n.world.note(n, own)
		c.own[name] = own
		n.changes++
	}
	if was != nil {
		n.world.dirty[name] = true
		n.world.ended[was] = n.world.now
	}
	n.takeEffects(part, input{local: name})
}

func (n *node) unregister(name string, why replica.Why) {
	if !n.alive || n.paused {
		return
	}
	part := n.world.part(name)
	c := &n.cores[part]
	was := c.own[name]
	if ok := c.Unregister(n.at(), name, why); ok != (was != nil) {
		n.world.violated("OwnAuthority", "%s releases %q, which it should hold as %v: %v", n.name, name,
			was, ok)
	}
	if was != nil {
		n.world.dirty[name] = true
		n.world.ended[was] = n.world.now
		n.changes++
		delete(c.own, name)
	}
	n.takeEffects(part, input{local: name})
}

func (n *node) receive(e *event) {
	w := n.world
	n.clock.Heard(w.nodes[e.from].name, e.wall, n.wall())
	if n.dice.chance(0.2) {
		n.old[n.dice.intn(len(n.old))] = *e
	}
	c := &n.cores[e.part]
	if w.trace != nil {
		w.logf("%s <- %s [%d] %s", n.name, w.nodes[e.from].name, e.part, describe(e.msg))
	}
	if v, ok := e.msg.(*replica.Vector); ok {
		n.hear(int(e.part), v)
	}
	c.Receive(n.at(), w.nodes[e.from].name, e.msg)
	n.takeEffects(int(e.part), input{msg: e.msg})
}

func (n *node) tick() {
	n.compare()
	for i := range n.cores {
		c := &n.cores[i]
		if due, ok := c.Next(n.at()); ok && due <= n.at().Mono { // as the shell does
			c.Tick(n.at())
			n.takeEffects(i, input{})
		} else if n.dice.chance(1. / 16) {
			n.mayRest(c)
		}
		if pending, _ := c.Pending(); pending > 0 {
			n.world.pending = max(n.world.pending, pending)
			n.flush(i, pending)
		}
	}
	n.world.schedule(event{at: n.world.now + n.tickIn(), do: tick, node: int32(n.id), life: n.life})
}

// compare sends the summaries of all cores to a random node at intervals, as the shell does if
// their digests differ.
func (n *node) compare() {
	w := n.world
	if !w.setup.Compared || w.now < n.compareAt {
		return
	}
	var up []int
	for i := range n.views {
		if n.views[i].up {
			up = append(up, i)
		}
	}
	if len(up) == 0 {
		return
	}
	every := w.setup.Limits.SummaryEvery
	n.compareAt = w.now + n.dice.between(every*7/8, every*9/8)
	to := w.nodes[oneOf(&n.dice, up...)].name
	for part := range n.cores {
		summary := &replica.Summary{Root: n.cores[part].Root()}
		n.post(part, replica.Envelope{To: to, Message: summary})
	}
}

// mayRest checks that a Tick before the moment that Next returns does nothing. (MayRest.)
func (n *node) mayRest(c *core) {
	at := n.at()
	twin := c.Clone(n.clock.Clone(), func(string, *replica.Record) {})
	before := twin.AppendState(nil, at)
	twin.Tick(at)
	out := twin.Take()
	acts := len(out.Send)+len(out.Events)+len(out.Lost) > 0
	if acts || !bytes.Equal(before, twin.AppendState(nil, at)) {
		due, ok := c.Next(at)
		n.world.violated("MayRest", "%s: next %v, %v at %v, but Tick sends %d messages, with %d events",
			n.name, due, ok, at.Mono, len(out.Send), len(out.Events))
	}
}
