package sim

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// epoch is what the nodes' wall clocks would show at the start, were they right.
const epoch = 1_700_000_000 * int64(time.Second)

// A World is some nodes and the network between them. All that happens in it follows from its setup and
// the steps it is taken through. A World must not be used from several goroutines at a time.
type World struct {
	setup   Setup
	now     time.Duration
	turn    uint64
	queue   queue
	nodes   []*node
	links   []link // from i to j at i*len(nodes)+j
	weather Weather
	round   time.Duration // when the last calm ended

	names     []string       // all that were ever registered
	partOf    map[string]int // and where they belong
	partNames [][]string
	made      map[*replica.Record]origin
	dirty     map[string]bool // names of which a claim ended, other than by a loss, since the last calm
	burst     int
	stepped   bool // some clock was set

	flying  int           // messages under way, summaries apart
	busy    time.Duration // when one was sent last
	checks  int           // events of membership to come
	sent    [6]int        // messages by kind
	pending int           // the highest seen

	trace *trace
}

// origin is what the world knows of a record that a node wrote.
type origin struct {
	copy replica.Record // records are immutable
	at   time.Duration  // true time
}

// New returns a world at rest: nobody claims anything, everybody is up and about to be seen by the others.
func New(s Setup) *World {
	w := &World{
		setup:     s,
		weather:   s.Weather,
		nodes:     make([]*node, s.Nodes),
		links:     make([]link, s.Nodes*s.Nodes),
		partOf:    make(map[string]int),
		partNames: make([][]string, s.Partitions),
		made:      make(map[*replica.Record]origin),
		dirty:     make(map[string]bool),
	}
	d := dice(s.Seed + s.Luck<<32)
	for i := range w.nodes {
		n := &node{world: w, id: i, name: nodeName(i), skew: s.Skew[i], dice: fork(d, uint64(100+s.Drawn[i]))}
		w.nodes[i] = n
		for j := range w.nodes {
			w.link(i, j).dice = fork(d, uint64(1000+64*s.Drawn[i]+s.Drawn[j]))
		}
		n.start()
	}
	w.lookAround()
	return w
}

// Run takes a new world through steps and a last calm, and returns the first violation, nil for none.
func Run(s Setup, steps []Step) *Violation {
	v, _ := run(s, steps, nil)
	return v
}

func run(s Setup, steps []Step, t *trace) (v *Violation, w *World) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *Violation:
			v = p
		default:
			v = &Violation{Invariant: "NoPanic", Detail: fmt.Sprintf("%v\n%s", p, debug.Stack())}
		}
		if v != nil && w != nil {
			v.At = w.now
		}
	}()
	w = New(s)
	w.trace = t
	w.Play(steps)
	w.Calm()
	return nil, w
}

// Play takes the world through steps. It panics with a *Violation.
func (w *World) Play(steps []Step) {
	for _, s := range steps {
		if s.Kind == Calm {
			w.Calm()
			continue
		}
		w.runUntil(w.round + s.At)
		if w.trace != nil {
			w.logf("== %v", s)
		}
		w.step(s)
	}
}

func (w *World) step(s Step) {
	n := w.nodes[s.Node]
	switch s.Kind {
	case Register:
		n.register(s.Name, []byte{byte(s.Arg)})
	case Update:
		n.update(s.Name, []byte{byte(s.Arg)})
	case Unregister:
		n.unregister(s.Name, replica.WhyReleased)
	case HolderEnds:
		n.unregister(s.Name, replica.WhyEnded)
	case Burst:
		for range s.Arg {
			w.burst++
			n.register(fmt.Sprint("b", w.burst%100), nil)
		}
	case Sweep:
		for _, name := range n.ownNames() {
			n.unregister(name, replica.WhyReleased)
		}
	case Cut:
		w.link(s.Node, s.Other).cut = true
	case Sever:
		w.link(s.Node, s.Other).cut = true
		w.link(s.Other, s.Node).cut = true
	case Mend:
		w.link(s.Node, s.Other).cut = false
		w.link(s.Other, s.Node).cut = false
	case Split:
		for i := range w.nodes {
			for j := range w.nodes {
				if s.Arg>>i&1 != s.Arg>>j&1 {
					w.link(i, j).cut = true
				}
			}
		}
	case Heal:
		w.heal()
	case Storm:
		w.weather = storms[s.Arg]
	case Pause:
		if n.alive {
			n.paused = true
		}
	case Resume:
		n.resume()
	case Crash:
		n.crash()
	case Restart:
		if !n.alive {
			n.skew += s.Delta
			w.stepped = w.stepped || s.Delta != 0
			n.start()
		}
	case Leave:
		n.leave()
	case ClockStep:
		n.skew += s.Delta
		w.stepped = true
	case Echo:
		if e := n.old[s.Arg%len(n.old)]; e.msg != nil {
			e.at = w.now
			if e.msg.Kind() != replica.KindSummary {
				w.flying++
			}
			w.schedule(e)
		}
	case Suspect:
		n.suspects(s.Other)
	case Rumour:
		for _, other := range w.nodes {
			if other != n {
				other.suspects(s.Node)
			}
		}
	}
	w.lookAround()
}

// runUntil lets time pass.
func (w *World) runUntil(t time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= t {
		e := w.queue.pop()
		w.now = e.at
		w.happen(&e)
		if w.turn%4096 == 0 {
			w.noStorm(w.setup.Most)
		}
	}
	w.now = max(w.now, t)
}

func (w *World) happen(e *event) {
	n := w.nodes[e.node]
	if n.paused && n.alive {
		n.inbox = append(n.inbox, *e)
		return
	}
	switch e.do {
	case deliver:
		w.landed(e.msg)
		if n.alive {
			n.receive(e)
		}
	case tick:
		if n.alive && e.life == n.life {
			n.tick()
		}
	case check:
		w.checks--
		n.look(int(e.from), e.life)
	}
}

func (w *World) schedule(e event) {
	w.turn++
	e.turn = w.turn
	w.queue.push(e)
}

func (w *World) part(name string) int {
	p, ok := w.partOf[name]
	if !ok {
		p = len(w.names) % w.setup.Partitions
		w.partOf[name] = p
		w.names = append(w.names, name)
		w.partNames[p] = append(w.partNames[p], name)
	}
	return p
}

// A node is N cores and a model of the shell around them.
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
	newest        hlc.Timestamp // of its claims
	old           [8]event      // some messages that came before
}

// A core is one partition's replica and what the world expects of it.
type core struct {
	*replica.Partition
	own       map[string]*replica.Record // claims that the node made and did not lose
	shows     map[string]*replica.Record // the events, replayed
	members   map[member]*replica.Record // the events of shared names, replayed
	published map[string]*replica.Record
	ticks     int
	touched   bool   // something but ticks came since all names were looked at
	root      uint64 // of the last summary, and when it was sent
	rootAt    time.Duration
}

// A member is a node's place under a shared name.
type member struct{ name, node string }

func (n *node) wall() int64 { return epoch + int64(n.world.now+n.skew) }

func (n *node) at() replica.At { return replica.At{Wall: n.wall(), Mono: n.world.now - n.born} }

// start lets the node run, with nothing known.
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
		published := c.published
		c.Partition = replica.New(replica.Config{
			Self:        n.name,
			Partition:   i,
			Incarnation: inc,
			Clock:       n.clock,
			Seed:        n.dice.next(),
			Compare:     w.setup.Resolver.compare(),
			Shared:      w.setup.shared,
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

// unheard takes an event that nobody waits for any more out of the counts.
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

// leave releases all, tells the others, and ends.
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
		w.violated("RegisterIsHonest", "%s registers %q, of which it shows %v: got %v, taken %v", n.name, name, before, own, taken)
	}
	if own != nil {
		w.note(n, own)
		c.own[name] = own
		n.monotone(own)
	}
	n.settle(part, input{local: name})
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
		// A claim may lose by new metadata, at once. Then settle must see a loss.
		if lost := c.Own(name); lost != nil {
			n.world.violated("OwnAuthority", "%s updates %q, which it has, and is told that it has not", n.name, name)
		}
	}
	if own != nil {
		if was == nil || own.Time != was.Time {
			n.world.violated("OwnAuthority", "%s updates %q: was %v, is %v", n.name, name, was, own)
		}
		n.world.note(n, own)
		c.own[name] = own
	}
	if was != nil {
		n.world.dirty[name] = true
	}
	n.settle(part, input{local: name})
}

func (n *node) unregister(name string, why replica.Why) {
	if !n.alive || n.paused {
		return
	}
	part := n.world.part(name)
	c := &n.cores[part]
	was := c.own[name]
	if ok := c.Unregister(n.at(), name, why); ok != (was != nil) {
		n.world.violated("OwnAuthority", "%s releases %q, which it should hold as %v: %v", n.name, name, was, ok)
	}
	if was != nil {
		n.world.dirty[name] = true
		delete(c.own, name)
	}
	n.settle(part, input{local: name})
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
	n.settle(int(e.part), input{msg: e.msg})
}

func (n *node) tick() {
	for i := range n.cores {
		c := &n.cores[i]
		c.Tick(n.at())
		n.settle(i, input{})
		if pending, _ := c.Pending(); pending > 0 {
			n.world.pending = max(n.world.pending, pending)
			n.flush(i, pending)
		}
	}
	n.world.schedule(event{at: n.world.now + n.tickIn(), do: tick, node: int32(n.id), life: n.life})
}

// note keeps what a record said when its node wrote it.
func (w *World) note(n *node, r *replica.Record) {
	if _, ok := w.made[r]; ok {
		return
	}
	if r.Node != n.name || r.Dead {
		w.violated("OwnAuthority", "%s wrote %v", n.name, r)
	}
	w.made[r] = origin{copy: *r, at: w.now}
}
