package sim

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// epoch is the reading of a right wall clock at the start.
const epoch = 1_700_000_000 * int64(time.Second)

// A World is some nodes and the network between them. Its run follows from its setup and its steps
// alone. A World must not be used from several goroutines at a time.
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
	partOf    map[string]int // their partitions
	partNames [][]string     // the names of each partition
	made      map[*replica.Record]origin
	dirty     map[string]bool // names of which a claim ended, not by a loss, since the last calm
	burst     int
	stepped   bool // some clock was set
	still     bool // the churn is over
	ended     map[*replica.Record]time.Duration
	endedBy   map[*replica.Record]number // at the latest
	chunked   map[transfer]int           // records in chunks sent, since tallyChunks

	flying  int                // messages under way, summaries apart
	busy    time.Duration      // when one was sent last
	checks  int                // events of membership to come
	sent    [replica.Kinds]int // messages by kind
	pending int                // the highest seen

	trace *trace
}

// origin is a copy of a record when its node wrote it.
type origin struct {
	copy replica.Record // records are immutable
	at   time.Duration  // true time
}

// New returns a world at rest: there are no claims, and all nodes are up and about to be seen up by
// the others.
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
		ended:     make(map[*replica.Record]time.Duration),
		endedBy:   make(map[*replica.Record]number),
		chunked:   make(map[transfer]int),
	}
	d := dice(s.Seed + s.SeedOffset<<32)
	for i := range w.nodes {
		n := &node{world: w, id: i, name: nodeName(i), skew: s.Skew[i],
			dice: fork(d, uint64(100+s.Drawn[i]))}
		w.nodes[i] = n
		for j := range w.nodes {
			w.link(i, j).dice = fork(d, uint64(1000+64*s.Drawn[i]+s.Drawn[j]))
		}
		n.start()
	}
	w.lookAround()
	return w
}

// Run runs a new world through steps and a last calm, and returns the first violation, nil if there
// is none.
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
	if w.setup.Churn.Every > 0 {
		w.churnRuns()
		w.still = true
	}
	w.Calm()
	return nil, w
}

// Play runs the world through steps. It panics with a *Violation.
func (w *World) Play(steps []Step) {
	for _, s := range steps {
		if s.Kind == Calm {
			if w.setup.Churn.Every > 0 {
				w.churnRuns()
			} else {
				w.Calm()
			}
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

// runUntil runs the world until a moment.
func (w *World) runUntil(t time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= t {
		e := w.queue.pop()
		w.now = e.at
		w.happen(&e)
		if w.turn%4096 == 0 {
			w.noStorm(w.setup.MaxMessages)
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
	case churn:
		if n.alive && e.life == n.life {
			n.turnOver()
		}
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

// note keeps a copy of a record that a node wrote.
func (w *World) note(n *node, r *replica.Record) {
	if _, ok := w.made[r]; ok {
		return
	}
	if r.Node != n.name || r.Dead {
		w.violated("OwnAuthority", "%s wrote %v", n.name, r)
	}
	w.made[r] = origin{copy: *r, at: w.now}
}
