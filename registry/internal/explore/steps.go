package explore

import (
	"fmt"
	"runtime/debug"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// Steps of one node are computed once and stored. The many states of the world consist of few
// states of single nodes, so the search mostly looks up numbers.
type steps struct {
	world    *World
	nodes    []*node
	nodeIDs  map[string]uint32
	messages []replica.Message
	msgIDs   map[string]uint32
	taken    map[stepKey]*step
	seeds    []uint64
}

type stepKey struct {
	node uint32
	in   input
}

// An input is an event at one node.
type input struct {
	kind Kind
	// as in Step, but of Hear: node a is up in run b; of Suspect: it is down, and left if b is 1; of
	// Deliver: from a
	a, b uint8
	msg  uint32 // of Deliver
}

// A step is the consequence of an input.
type step struct {
	next      uint32
	sends     []send
	gone      []*replica.Record // claims of others that a message took out of sight
	violation *Violation
}

type send struct {
	to  uint8
	msg uint32
}

func newSteps(w *World) *steps {
	return &steps{
		world: w, nodes: []*node{nil}, nodeIDs: map[string]uint32{}, msgIDs: map[string]uint32{},
		taken: map[stepKey]*step{}, seeds: []uint64{1, 2, 3, 4}[:max(1, w.Seeds)],
	}
}

// add returns the number of a node, from 1.
func (s *steps) add(n *node) uint32 {
	key := n.key()
	id, ok := s.nodeIDs[key]
	if !ok {
		n.read()
		id = uint32(len(s.nodes))
		s.nodes = append(s.nodes, n)
		s.nodeIDs[key] = id
	}
	return id
}

func (s *steps) message(m replica.Message) uint32 {
	key := messageKey(m)
	id, ok := s.msgIDs[key]
	if !ok {
		id = uint32(len(s.messages))
		s.messages = append(s.messages, m)
		s.msgIDs[key] = id
	}
	return id
}

// isUpdate reports whether a message is an update.
func (s *steps) isUpdate(msg uint32) bool { return s.messages[msg].Kind() == replica.KindUpdate }

// take returns the step of an input to a node.
func (s *steps) take(id uint32, in input) *step {
	key := stepKey{id, in}
	t := s.taken[key]
	if t == nil {
		t = s.work(id, in)
		s.taken[key] = t
	}
	return t
}

func (s *steps) work(id uint32, in input) (t *step) {
	t = &step{next: id}
	defer func() {
		if p := recover(); p != nil {
			t.violation = &Violation{"NoPanic", fmt.Sprintf("%v\n%s", p, debug.Stack())}
		}
	}()
	before := s.nodes[id]
	published := map[string]*replica.Record{}
	n := before.copy(func(name string, r *replica.Record) { published[name] = r })
	seed := s.seeds[0]
	if in.kind == Tick {
		seed = s.seeds[in.b]
	}
	n.core.Reseed(seed)
	e := effect{before: before, after: n, in: in, published: published}
	if in.kind == Deliver {
		e.message = s.messages[in.msg]
	}
	e.act(s.world)
	e.out = n.core.Take()
	t.next = s.add(n)
	e.after = s.nodes[t.next]
	t.violation = e.check(s.world)
	t.gone = e.gone()

	for _, u := range e.flushed {
		m := s.message(u)
		for to := range s.world.Nodes {
			if n.up>>to&1 == 1 {
				t.sends = append(t.sends, send{uint8(to), m})
			}
		}
	}
	if s.world.Relay {
		for _, u := range e.out.Relay {
			m := s.message(u)
			for to := range s.world.Nodes {
				if n.up>>to&1 == 1 && to != nodeIndex(u.Origin) && to != int(in.a) {
					t.sends = append(t.sends, send{uint8(to), m})
				}
			}
		}
	}
	for _, env := range e.out.Send {
		t.sends = append(t.sends, send{uint8(nodeIndex(env.To)), s.message(env.Message)})
	}
	return t
}
