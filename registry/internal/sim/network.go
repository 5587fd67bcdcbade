package sim

import (
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// storms holds the kinds of weather that steps choose from.
var storms = [...]Weather{
	{Delay: [2]time.Duration{100e3, 2e6}},
	{Delay: [2]time.Duration{1e6, 300e6}},
	{Delay: [2]time.Duration{1e6, 20e6}, Drop: 0.2, Double: 0.1, Straggle: 0.05},
	{Delay: [2]time.Duration{1e6, 500e6}, Drop: 0.6},
	{Delay: [2]time.Duration{1e6, 100e6}, Double: 0.8, Straggle: 0.3},
}

// A link carries messages one way.
type link struct {
	cut  bool
	dice dice
}

func (w *World) link(from, to int) *link { return &w.links[from*len(w.nodes)+to] }

func (w *World) heal() {
	for i := range w.links {
		w.links[i].cut = false
	}
}

// send sends a message. loss is the share of such messages that is lost besides those that the
// weather drops.
func (n *node) send(part, to int, m replica.Message, loss float64) {
	w := n.world
	l := w.link(n.id, to)
	w.sent[m.Kind()]++
	if m.Kind() != replica.KindSummary {
		w.busy = w.now
	}
	if l.cut || l.dice.chance(w.weather.Drop) || l.dice.chance(loss) {
		if w.trace != nil {
			w.logf("%s -> %s [%d] lost: %s", n.name, w.nodes[to].name, part, describe(m))
		}
		return
	}
	copies := 1
	if l.dice.chance(w.weather.Double) {
		copies++
	}
	for range copies {
		delay := l.dice.between(w.weather.Delay[0], w.weather.Delay[1])
		if l.dice.chance(w.weather.Straggle) {
			delay += l.dice.between(0, 2*time.Second)
		}
		if m.Kind() != replica.KindSummary {
			w.flying++
		}
		w.schedule(event{at: w.now + delay, do: deliver, part: int8(part), node: int32(to),
			from: int32(n.id), wall: n.wall(), msg: m})
	}
}

func (w *World) landed(m replica.Message) {
	if m.Kind() != replica.KindSummary {
		w.flying--
	}
}

// flush sends own changes to all nodes that are up: a few as packets that may be lost, many
// reliably.
func (n *node) flush(part, pending int) {
	s := &n.world.setup
	most, loss := s.FlushMax, s.GossipLoss
	if pending == 0 || pending >= s.Backlog {
		most, loss = 0, 0
	}
	c := &n.cores[part]
	for _, u := range c.Flush(s.FlushBytes, most) {
		n.world.sized(n, u.Records, s.FlushBytes)
		c.supersede(n.world, u)
		if n.world.trace != nil {
			n.world.logf("%s broadcasts [%d] %s", n.name, part, describe(u))
		}
		for to := range n.views {
			if n.views[to].up {
				n.send(part, to, u, loss)
			}
		}
	}
}

// relay passes updates of others on to a few nodes, as gossip does.
func (n *node) relay(part int, u *replica.Update) {
	for range n.world.setup.Fanout {
		if to := n.dice.intn(len(n.views)); n.views[to].up {
			n.send(part, to, u, n.world.setup.GossipLoss)
		}
	}
}

// post sends an envelope reliably, and checks it.
func (n *node) post(part int, e replica.Envelope) {
	to := int(e.To[1] - 'a')
	if to == n.id {
		n.world.violated("OwnAuthority", "%s writes to itself: %s", n.name, describe(e.Message))
	}
	if s, ok := e.Message.(*replica.Summary); ok {
		c := &n.cores[part]
		c.root, c.rootAt = s.Root, n.world.now
	}
	if v, ok := e.Message.(*replica.Vector); ok {
		n.shownWhenConfirmed(part, v)
	}
	switch m := e.Message.(type) {
	case *replica.Pull:
		n.goesOn(part, m)
	case *replica.Chunk:
		n.world.sized(n, m.Records, n.world.setup.Limits.ChunkBytes)
		n.world.chunked[transfer{e.To, m.Origin, m.Incarnation}] += len(m.Records)
	case *replica.Check:
		n.world.numbered(n, len(m.Blocks))
	case *replica.Standing:
		numbers := 0
		for _, s := range m.Spans {
			numbers += len(s.Seqs)
		}
		n.world.numbered(n, numbers)
	}
	n.send(part, to, e.Message, 0)
}
