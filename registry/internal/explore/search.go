package explore

import (
	"fmt"
	"slices"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// An explorer searches one world.
type explorer struct {
	world *World
	steps *steps

	seen    map[fingerprint]struct{}
	parents []uint32 // by number of state
	actions []Step   // the action from the parent

	claims []*replica.Record
	rests  map[fingerprint][3]uint32 // where calm leads
	quiet  map[[3]uint32]struct{}    // states of rest that were judged

	transitions int // of single nodes
	inOrder     bool
	describing  bool
	lines       []string
}

// Explore visits all states that a world can reach, nearest first, and judges them. It returns at
// the first violation.
func Explore(w World) Report {
	start := time.Now()
	x := &explorer{
		world: &w, steps: newSteps(&w), seen: map[fingerprint]struct{}{},
		rests: map[fingerprint][3]uint32{}, quiet: map[[3]uint32]struct{}{},
	}
	r := x.search()
	r.World, r.States, r.Nodes, r.Messages, r.Rests = w.Name, len(x.parents), len(x.steps.nodes)-1,
		len(x.steps.messages), len(x.quiet)
	r.Elapsed = time.Since(start)
	return r
}

// begin returns the world at rest after its Before steps, or the violation that they led to.
func (x *explorer) begin() (state, *Violation) {
	var s state
	for i := range x.world.Nodes {
		s.node[i] = x.steps.add(x.world.newNode(i, 0))
	}
	if v := x.calm(&s); v != nil {
		return s, v
	}
	for _, a := range x.world.Before {
		x.describeStep(&s, a)
		if v := x.do(&s, a); v != nil {
			return s, v
		}
	}
	s.budget = x.world.list()
	return s, nil
}

func (x *explorer) search() (r Report) {
	s, v := x.begin()
	if v != nil {
		r.Violation = v
		return r
	}
	buf := s.append(nil)
	x.seen[fingerprintOf(buf)] = struct{}{}
	x.parents, x.actions = append(x.parents, 0), append(x.actions, Step{})
	if v := x.judge(s); v != nil {
		r.Violation = v
		r.Path = x.path(0, nil)
		return r
	}
	// A layer holds the states of one depth, as bytes, one behind the other.
	layer, ends := slices.Clone(buf), []int{len(buf)}
	for first := 0; len(ends) > 0; {
		var next []byte
		var nextEnds []int
		firstNext := len(x.parents)
		from := 0
		for i, end := range ends {
			s.parse(layer[from:end])
			from = end
			id := first + i
			x.enabled(&s, func(a Step) {
				if r.Violation != nil {
					return
				}
				t := s
				r.Transitions++
				if v := x.do(&t, a); v != nil {
					r.Violation, r.Path = v, x.path(id, &a)
					return
				}
				buf = t.append(buf[:0])
				fp := fingerprintOf(buf)
				if _, ok := x.seen[fp]; ok {
					return
				}
				x.seen[fp] = struct{}{}
				x.parents, x.actions = append(x.parents, uint32(id)), append(x.actions, a)
				if x.drained(&t) || fp%sample == 0 {
					r.Judged++
					if v := x.judge(t); v != nil {
						r.Violation, r.Path = v, x.path(id, &a)
						return
					}
				}
				next = append(next, buf...)
				nextEnds = append(nextEnds, len(next))
			})
			if r.Violation != nil || x.world.MaxStates > 0 && len(x.parents) >= x.world.MaxStates {
				return r
			}
		}
		if len(nextEnds) > 0 {
			r.Depth++
		}
		layer, ends, first = next, nextEnds, firstNext
	}
	r.Complete = true
	return r
}

// sample is the number of other states for each one that is judged.
const sample = 16

// drained reports whether calm has nothing to do in a state but to let time pass. The search heals,
// hears, flushes and delivers anyway, so it follows the path by which calm leads from any state to
// a drained one. All of these are judged, and a sample of the others in case such a path never
// ends.
func (x *explorer) drained(s *state) bool {
	if s.cut != 0 || len(s.flying) > 0 {
		return false
	}
	for i := range x.world.Nodes {
		if !s.alive(i) {
			continue
		}
		if x.steps.nodes[s.node[i]].pending {
			return false
		}
		for j := range x.world.Nodes {
			if i != j && s.view[i][j] != s.real(i, j) {
				return false
			}
		}
	}
	return true
}

// path describes the actions that led to a state, a last action, and how the world came to rest
// from there.
func (x *explorer) path(id int, last *Step) []string {
	var way []Step
	if last != nil {
		way = append(way, *last)
	}
	for ; id > 0; id = int(x.parents[id]) {
		way = append(way, x.actions[id])
	}
	slices.Reverse(way)
	x.describing, x.lines = true, nil
	defer func() { x.describing = false }()
	s, v := x.begin()
	for i := 0; v == nil && i < len(way); i++ {
		x.describeStep(&s, way[i])
		v = x.do(&s, way[i])
	}
	if v == nil {
		v = x.judge(s)
	}
	return append(x.lines, fmt.Sprintf("** %v", v))
}

func (x *explorer) say(format string, args ...any) {
	if x.describing {
		x.lines = append(x.lines, fmt.Sprintf(format, args...))
	}
}

// describeStep describes an action in a state.
func (x *explorer) describeStep(s *state, a Step) {
	if !x.describing {
		return
	}
	node := func(i uint8) string { return nodeNames[i] }
	name := nameNames[a.B&1]
	switch a.Kind {
	case Register:
		x.say("%s registers %s", node(a.A), name)
	case Update:
		x.say("%s updates %s", node(a.A), name)
	case Release:
		x.say("%s releases %s", node(a.A), name)
	case Split:
		cut := x.world.cuts()[a.A]
		for i := range x.world.Nodes {
			for j := range i {
				if cut&link(i, j) != 0 {
					x.say("the link of %s and %s is cut", nodeNames[j], nodeNames[i])
				}
			}
		}
	case Heal:
		x.say("all links are whole")
	case Suspect:
		x.say("%s believes that %s is down", node(a.A), node(a.B))
	case Hear:
		up := "down"
		if run := s.real(int(a.A), int(a.B)); run > 0 {
			up = fmt.Sprintf("up, run %d", run)
		}
		x.say("%s sees that %s is %s", node(a.A), node(a.B), up)
	case Crash:
		x.say("%s crashes", node(a.A))
	case Leave:
		x.say("%s releases all and leaves", node(a.A))
	case Start:
		x.say("%s starts", node(a.A))
	case Tick:
		x.say("%s: a tick (seed %d)", node(a.A), a.B)
	case Flush:
		x.say("%s flushes", node(a.A))
	case Deliver, Duplicate, Drop:
		f := s.flying[a.A]
		end := [...]string{Deliver: "", Duplicate: " (and again later)", Drop: " is lost"}[a.Kind]
		x.say("%s → %s: %s%s", node(f.from), node(f.to), describe(x.steps.messages[f.msg]), end)
	}
}
