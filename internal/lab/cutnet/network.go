package cutnet

import (
	"errors"
	"math/rand/v2"
	"sync"
)

// ErrCut is why a stream could not be opened.
var ErrCut = errors.New("cutnet: the link is cut")

// A Network holds the state of all links. Its methods may be called at the same time; a change of
// links is in force when the call returns.
type Network struct {
	mu       sync.Mutex // guards all below; taken inside no other lock
	rand     *rand.Rand
	loss     float64
	cut      map[link]struct{}
	isolated map[string]struct{}
	names    map[string]string // by address
	streams  map[*stream]struct{}
	conns    map[*conn]struct{}
	changed  chan struct{} // closed when links change
	traffic  map[link]*Traffic
}

// A link is one direction.
type link struct{ from, to string }

// New returns a network with all links up. The seed decides which packets are lost.
func New(seed uint64) *Network {
	return &Network{
		rand:     rand.New(rand.NewPCG(seed, 0)),
		cut:      make(map[link]struct{}),
		isolated: make(map[string]struct{}),
		names:    make(map[string]string),
		streams:  make(map[*stream]struct{}),
		conns:    make(map[*conn]struct{}),
		changed:  make(chan struct{}),
		traffic:  make(map[link]*Traffic),
	}
}

// Cut cuts the link between two nodes, in both directions.
func (n *Network) Cut(a, b string) {
	n.change(func() {
		n.cut[link{a, b}] = struct{}{}
		n.cut[link{b, a}] = struct{}{}
	})
}

// CutOneWay cuts the direction from one node to another.
func (n *Network) CutOneWay(from, to string) {
	n.change(func() { n.cut[link{from, to}] = struct{}{} })
}

// CutOnly cuts the links between a node and others, in both directions, and brings all other links
// up, except those of isolated nodes.
func (n *Network) CutOnly(name string, others ...string) {
	n.change(func() {
		clear(n.cut)
		n.cutAll([]string{name}, others)
		n.cutAll(others, []string{name})
	})
}

// Split cuts every link between nodes of different groups. Links within a group, and of nodes in no
// group, stay as they are.
func (n *Network) Split(groups ...[]string) {
	n.change(func() {
		for i, group := range groups {
			for j, other := range groups {
				if i != j {
					n.cutAll(group, other)
				}
			}
		}
	})
}

func (n *Network) cutAll(from, to []string) {
	for _, a := range from {
		for _, b := range to {
			n.cut[link{a, b}] = struct{}{}
		}
	}
}

// Isolate cuts all links of a node, those to nodes that come later included.
func (n *Network) Isolate(name string) {
	n.change(func() { n.isolated[name] = struct{}{} })
}

// Heal brings all links up again. The loss of packets goes on.
func (n *Network) Heal() {
	n.change(n.heal)
}

func (n *Network) heal() {
	clear(n.cut)
	clear(n.isolated)
}

// HealLink brings the link between two nodes up again, unless one of them is isolated.
func (n *Network) HealLink(a, b string) {
	n.change(func() {
		delete(n.cut, link{a, b})
		delete(n.cut, link{b, a})
	})
}

// Flap heals all, then cuts each link between two of the nodes with probability p, as r decides.
// Called again and again, links come and go; equal sources give equal cuts.
func (n *Network) Flap(r *rand.Rand, p float64, names ...string) {
	n.change(func() {
		n.heal()
		for i, a := range names {
			for _, b := range names[i+1:] {
				if r.Float64() < p {
					n.cut[link{a, b}] = struct{}{}
					n.cut[link{b, a}] = struct{}{}
				}
			}
		}
	})
}

// Lose loses each packet with probability p. Streams are not touched.
func (n *Network) Lose(p float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = p
}

// IsCut reports whether packets from one node to another are dropped for a cut.
func (n *Network) IsCut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down(from, to)
}

func (n *Network) down(from, to string) bool {
	if _, ok := n.cut[link{from, to}]; ok {
		return true
	}
	_, a := n.isolated[from]
	_, b := n.isolated[to]
	return a || b
}

// change applies a change of links. It resets the streams that are on a cut one, and breaks the
// connections that were.
func (n *Network) change(f func()) {
	n.mu.Lock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
	var healed []*conn
	for c := range n.conns {
		cut := n.either(c.from, c.to)
		if c.cut && !cut {
			healed = append(healed, c)
		}
		c.cut = cut
	}
	var broken []*stream
	for s := range n.streams {
		if n.either(s.from, s.to) {
			broken = append(broken, s)
			delete(n.streams, s)
			n.of(s.from, s.to).Broken++
		}
	}
	n.mu.Unlock()
	for _, s := range broken {
		s.reset()
	}
	for _, c := range healed {
		_ = c.Close() // whoever uses it sees that it failed
	}
}

// either reports whether one direction of a link is down. n.mu is held.
func (n *Network) either(a, b string) bool { return n.down(a, b) || n.down(b, a) }

// nameOf returns who listens on an address. n.mu is held.
func (n *Network) nameOf(addr string) string {
	if name, ok := n.names[addr]; ok {
		return name
	}
	return addr
}

// register gives an address to a name. Whoever had it is gone: the socket is the new one's.
func (n *Network) register(addr, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[addr] = name
}

func (n *Network) unregister(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.names, addr)
}

// packet decides about a packet that is sent.
func (n *Network) packet(from, addr string, size int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	to := n.nameOf(addr)
	t := n.of(from, to)
	// The die is rolled for every packet, so that a cut does not change who is lost afterwards.
	lost := n.loss > 0 && n.rand.Float64() < n.loss
	if lost || n.down(from, to) {
		t.Dropped++
		return false
	}
	t.Packets++
	t.PacketBytes += uint64(size)
	return true
}

// arrived decides about a packet that was on its way, perhaps since before a cut.
func (n *Network) arrived(addr, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	from := n.nameOf(addr)
	if !n.down(from, to) {
		return true
	}
	n.of(from, to).Dropped++
	return false
}
