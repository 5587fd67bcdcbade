package evict

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func policies() map[string]func() Policy {
	return map[string]func() Policy{
		"LRU":     func() Policy { return NewLRU() },
		"Strict":  func() Policy { return NewStrict() },
		"TinyLFU": func() Policy { return NewTinyLFU(NewWindow()) },
	}
}

// After any operations, a policy has the nodes that were added, and its victim is
// one of them, but not the spared one, if there is another.
func TestPolicies(t *testing.T) {
	for name, fresh := range policies() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				p := fresh()
				in := map[*Node]bool{}
				var nodes []*Node // those in, and some that left
				pick := func() *Node {
					for range 20 {
						if n := nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "node")]; in[n] {
							return n
						}
					}
					return nil
				}
				add := func() *Node {
					n := &Node{Hash: rapid.Uint32Range(0, 200).Draw(t, "hash") << HashReserved}
					nodes = append(nodes, n)
					in[n] = true
					return n
				}
				p.Add(add())
				for range rapid.IntRange(1, 300).Draw(t, "steps") {
					if tiny, ok := p.(*TinyLFU); ok && rapid.IntRange(0, 20).Draw(t, "turn") == 0 {
						tiny.windowShare.set(rapid.SampledFrom(shares[:]).Draw(t, "share"))
					}
					if rapid.IntRange(0, 100).Draw(t, "clear") == 0 {
						p.Clear()
						clear(in)
					}
					op := rapid.IntRange(0, 9).Draw(t, "op")
					n := pick()
					switch {
					case op < 4 || n == nil:
						p.Add(add())
					case op < 5:
						p.Replace(n, add())
						delete(in, n)
					case op < 6:
						p.Remove(n)
						delete(in, n)
					case op < 7:
						p.Use(n)
					case op < 8:
						n.Touch(rapid.Uint32().Draw(t, "now"), 1)
					default:
						spared := n
						if op == 8 {
							spared = nil
						}
						v := p.Victim(spared)
						rest := len(in)
						if in[spared] {
							rest--
						}
						if (v != nil) != (rest > 0) || v != nil && (!in[v] || v == spared) {
							t.Fatalf("victim %p of %d, spared %p", v, len(in), spared)
						}
						if v != nil {
							p.Remove(v)
							delete(in, v)
						}
					}
					if p.Len() != len(in) {
						t.Fatalf("%d nodes, want %d", p.Len(), len(in))
					}
				}
				seen := 0
				for n := range p.All {
					seen++
					if !in[n] {
						t.Fatal("a node that was removed is still there")
					}
				}
				if seen != len(in) {
					t.Fatalf("%d nodes seen, want %d", seen, len(in))
				}
			})
		})
	}
}

// All stops when the loop does.
func TestAllStops(t *testing.T) {
	for _, fresh := range policies() {
		p := fresh()
		for i := range 500 {
			p.Add(&Node{Hash: uint32(i) << HashReserved}) //nolint:gosec // small
		}
		seen := 0
		for range p.All {
			seen++
			if seen == 3 {
				break
			}
		}
		require.Equal(t, 3, seen)
	}
}

// cacheOf simulates a cache of size entries.
type cacheOf struct {
	p        Policy
	size     int
	nodes    map[uint32]*Node
	now      uint32
	interval uint32
	hits     int
	window   *Window // nil: it does not adapt
}

func newCacheOf(p Policy, size int) *cacheOf {
	//nolint:gosec // small
	return &cacheOf{p: p, size: size, nodes: map[uint32]*Node{}, interval: uint32(max(1, size/16))}
}

func (c *cacheOf) get(key uint32) {
	if n := c.nodes[key]; n != nil {
		c.hits++
		if n.Touch(c.now, c.interval) {
			c.record(n)
		}
		return
	}
	c.now++
	n := &Node{Hash: key << HashReserved}
	n.Reset(c.now)
	c.p.Add(n)
	c.nodes[key] = n
	for len(c.nodes) > c.size {
		v := c.p.Victim(n)
		c.p.Remove(v)
		delete(c.nodes, v.Hash>>HashReserved)
	}
	c.record(n)
}

func (c *cacheOf) record(n *Node) {
	if c.window != nil && c.window.Samples(n.Hash) {
		c.window.Record(n.Hash)
	}
}

// Entries in use survive a scan under TinyLFU, and do not under LRU; and a
// loop over more keys than there is room for has hits.
func TestScansAndLoops(t *testing.T) {
	const size = 1000
	hits := func(p Policy, trace func(get func(uint32))) int {
		c := newCacheOf(p, size)
		trace(c.get)
		return c.hits
	}
	scan := func(get func(uint32)) {
		r := rand.New(rand.NewPCG(1, 2))
		next := uint32(1 << 20)
		for range 20 {
			for range 10 * size {
				get(r.Uint32N(size * 8 / 10))
			}
			for range 5 * size {
				get(next)
				next++
			}
		}
	}
	const laps = 20
	loop := func(length uint32) func(get func(uint32)) {
		return func(get func(uint32)) {
			for range laps {
				for key := range length {
					get(key)
				}
			}
		}
	}
	tiny := func() Policy { return NewTinyLFU(NewWindow()) }
	best := 20 * 10 * size
	require.Greater(t, hits(tiny(), scan), best*97/100)
	require.Less(t, hits(NewLRU(), scan), best*94/100)
	require.Zero(t, hits(NewLRU(), loop(2*size)))
	// At best, every node that fits is hit in each lap but the first.
	for _, length := range []uint32{2 * size, 3 * size, 10 * size} {
		require.Greater(t, hits(tiny(), loop(length)), (laps-1)*size*95/100, "loop over %d", length)
	}
}

// The sketch grows with the nodes, and is given back after a burst.
func TestSketchIsGivenBack(t *testing.T) {
	p := NewTinyLFU(NewWindow())
	nodes := make([]Node, 100_000)
	for i := range nodes {
		nodes[i].Hash = uint32(i) << HashReserved //nolint:gosec // small
		p.Add(&nodes[i])
	}
	require.GreaterOrEqual(t, len(p.sketch.words), len(nodes))
	for i := range nodes[100:] {
		p.Remove(&nodes[100+i])
	}
	require.LessOrEqual(t, len(p.sketch.words), sketchKept)
	require.Equal(t, 100, p.Len())
}

// LRU with Use is exact; with marks it gives used nodes a second chance.
func TestSecondChance(t *testing.T) {
	p := NewLRU()
	nodes := make([]Node, 4)
	for i := range nodes {
		p.Add(&nodes[i])
	}
	nodes[0].Touch(10, 1)
	nodes[2].Touch(10, 1)
	p.Use(&nodes[1])
	var order []int
	for range nodes {
		v := p.Victim(nil)
		for i := range nodes {
			if v == &nodes[i] {
				order = append(order, i)
			}
		}
		p.Remove(v)
	}
	require.Equal(t, []int{3, 1, 0, 2}, order)

	// The search ends even if all of many nodes were used.
	many := make([]Node, 10*secondChances)
	for i := range many {
		p.Add(&many[i])
		many[i].Touch(10, 1)
	}
	require.Same(t, &many[secondChances], p.Victim(nil))
}

// A node that replaces another has its position, and counts as used.
func TestReplaceIsAUse(t *testing.T) {
	for _, p := range []Policy{NewLRU(), NewTinyLFU(NewWindow())} {
		nodes := make([]*Node, 4)
		for i := range nodes {
			nodes[i] = &Node{Hash: uint32(i) << HashReserved} //nolint:gosec // small
			p.Add(nodes[i])
		}
		fresh := &Node{Hash: nodes[0].Hash}
		p.Replace(nodes[0], fresh)
		require.Equal(t, 4, p.Len())
		for range 2 { // TinyLFU's first is the newest, which has to compete
			first := p.Victim(nil)
			require.NotSame(t, fresh, first, "%T", p)
			p.Remove(first)
		}
	}
}

// Used nodes are protected, but a part of the capacity is for new ones.
func TestProtected(t *testing.T) {
	const size = 1000
	p := NewTinyLFU(NewWindow())
	c := newCacheOf(p, size)
	for range 20 {
		for key := range uint32(size) {
			c.get(key)
		}
		c.get(1 << 20) // one has to be evicted, so uses are looked at
		for range size / secondChances {
			p.Victim(nil)
		}
	}
	main := p.probation.n + p.protected.n
	require.InDelta(t, protectedShare*float64(main), p.protected.n, 2)
}

// A candidate that is asked for as often as the victim is admitted by chance, once in a
// while, if it is asked for often, and never if it is rare.
func TestAdmission(t *testing.T) {
	p := NewTinyLFU(NewWindow())
	p.sketch.grow(1000)
	admitted := func(candidate, victim uint32) (n int) {
		a, b := &Node{Hash: 1 << HashReserved}, &Node{Hash: 2 << HashReserved}
		p.sketch.words = make([]uint64, len(p.sketch.words))
		p.sketch.add(a.Hash, candidate)
		p.sketch.add(b.Hash, victim)
		for range 128 * 20 {
			if p.admits(a, b) {
				n++
			}
		}
		return n
	}
	require.InDelta(t, 20, admitted(10, 10), 15)
	require.InDelta(t, 20, admitted(10, 15), 15)
	require.Zero(t, admitted(5, 5))
	require.Zero(t, admitted(1, 0))
	require.Zero(t, admitted(2, 1))
	require.Equal(t, 128*20, admitted(2, 0))
	require.Equal(t, 128*20, admitted(3, 2))
	require.Equal(t, 128*20, admitted(3, 1))
}
