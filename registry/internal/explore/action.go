package explore

import (
	"fmt"
	"slices"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// enabled calls f with each action that may happen in a state, until f returns false.
func (x *explorer) enabled(s *state, f func(Step)) {
	w := x.world
	may := func(k Kind) bool { return s.budget[k] > 0 }
	for i := range s.flying {
		f(Step{Deliver, uint8(i), 0})
		if may(Duplicate) {
			f(Step{Duplicate, uint8(i), 0})
		}
		if may(Drop) {
			f(Step{Drop, uint8(i), 0})
		}
	}
	if w.Flying > 0 && len(s.flying) > w.Flying {
		return // the network is full: first something has to arrive
	}
	for i := range w.Nodes {
		a := uint8(i)
		if !s.alive(i) {
			if s.left>>i&1 == 0 {
				f(Step{Start, a, 0})
			}
			continue
		}
		n := x.steps.nodes[s.node[i]]
		for k := range w.names() {
			switch b := uint8(k); {
			case n.shows[k] == nil && may(Register):
				f(Step{Register, a, b})
			case n.own[k] != nil && may(Release):
				f(Step{Release, a, b})
			}
			if n.own[k] != nil && may(Update) {
				f(Step{Update, a, uint8(k)})
			}
		}
		if n.pending {
			f(Step{Flush, a, 0})
		}
		if may(Crash) {
			f(Step{Crash, a, 0})
		}
		if may(Leave) {
			f(Step{Leave, a, 0})
		}
		if may(Tick) {
			for seed := range max(1, w.Seeds) {
				f(Step{Tick, a, uint8(seed)})
			}
		}
		for j := range w.Nodes {
			if j == i {
				continue
			}
			if s.view[i][j] != s.real(i, j) {
				f(Step{Hear, a, uint8(j)})
			}
			if s.view[i][j] != 0 && s.real(i, j) != 0 && may(Suspect) {
				f(Step{Suspect, a, uint8(j)})
			}
		}
	}
	if s.cut != 0 {
		f(Step{Heal, 0, 0})
	}
	if may(Split) {
		for i, cut := range w.cuts() {
			if s.cut|cut != s.cut {
				f(Step{Split, uint8(i), 0})
			}
		}
	}
}

// do changes s by an enabled action.
func (x *explorer) do(s *state, a Step) *Violation {
	if int(a.Kind) < budgeted && s.budget[a.Kind] > 0 {
		s.budget[a.Kind]--
	}
	i := int(a.A)
	switch a.Kind {
	case Register:
		s.made++
		return x.local(s, i, input{kind: Register, a: a.B, b: s.made})
	case Update:
		return x.local(s, i, input{kind: Update, a: a.B, b: s.budget[Update]})
	case Release:
		x.ends(s, i, int(a.B))
		return x.local(s, i, input{kind: Release, a: a.B})
	case Flush:
		return x.local(s, i, input{kind: Flush})
	case Tick:
		return x.local(s, i, input{kind: Tick, b: a.B})
	case Split:
		s.cut |= x.world.cuts()[a.A]
	case Heal:
		s.cut = 0
	case Suspect:
		s.view[i][a.B] = 0
		return x.local(s, i, input{kind: Suspect, a: a.B})
	case Hear:
		return x.hear(s, i, int(a.B))
	case Crash:
		for k := range x.world.names() {
			x.ends(s, i, k)
		}
		s.node[i] = 0
	case Start:
		s.run[i]++
		s.view[i] = [3]uint8{}
		s.node[i] = x.steps.add(x.world.newNode(i, s.run[i]))
	case Leave:
		for k := range x.world.names() {
			if x.steps.nodes[s.node[i]].own[k] != nil {
				x.ends(s, i, k)
				if v := x.local(s, i, input{kind: Release, a: uint8(k)}); v != nil {
					return v
				}
			}
		}
		if x.steps.nodes[s.node[i]].pending {
			if v := x.local(s, i, input{kind: Flush}); v != nil {
				return v
			}
		}
		s.node[i] = 0
		s.left |= 1 << i
	case Drop:
		s.flying = s.without(i)
	case Duplicate:
		return x.deliver(s, s.flying[i])
	case Deliver:
		f := s.flying[i]
		s.flying = s.without(i)
		return x.deliver(s, f)
	}
	return nil
}

// hear brings i's view of j up to date.
func (x *explorer) hear(s *state, i, j int) *Violation {
	run := s.real(i, j)
	s.view[i][j] = run
	if run > 0 {
		return x.local(s, i, input{kind: Hear, a: uint8(j), b: run - 1})
	}
	return x.local(s, i, input{kind: Suspect, a: uint8(j), b: s.left >> j & 1})
}

func (x *explorer) deliver(s *state, f flight) *Violation {
	if !s.alive(int(f.to)) {
		return nil
	}
	return x.local(s, int(f.to), input{kind: Deliver, a: f.from, msg: f.msg})
}

// local gives a node an input, and sends the messages that follow.
func (x *explorer) local(s *state, i int, in input) *Violation {
	t := x.steps.take(s.node[i], in)
	x.transitions++
	if t.violation != nil {
		return &Violation{t.violation.Invariant,
			fmt.Sprintf("at %s: %s", nodeNames[i], t.violation.Detail)}
	}
	for _, r := range t.gone {
		k, j := slices.Index(nameNames[:], r.Name), nodeIndex(r.Node)
		if x.world.Ties || !s.alive(j) {
			continue
		}
		if own := x.steps.nodes[s.node[j]].own[k]; own != nil && own.Time == r.Time {
			return violated("NoHearsay", "at %s: a message took %v out of sight, which its node still holds",
				nodeNames[i], r)
		}
	}
	s.node[i] = t.next
	if len(t.sends) > 0 {
		x.post(s, i, t.sends)
	}
	return nil
}

// post sends messages. One over a cut link is lost, and one that is under way already is not added.
func (x *explorer) post(s *state, from int, sends []send) {
	flying := make([]flight, len(s.flying), len(s.flying)+len(sends))
	copy(flying, s.flying)
	for _, m := range sends {
		if s.cut&link(from, int(m.to)) != 0 {
			continue
		}
		f := flight{uint8(from), m.to, m.msg}
		at, twice := len(flying), false
		if !x.inOrder {
			at, twice = slices.BinarySearchFunc(flying, f, flight.compare)
		}
		if !twice {
			flying = slices.Insert(flying, at, f)
		}
	}
	s.flying = flying
}

// ends notes a claim that is about to end, not by a conflict.
func (x *explorer) ends(s *state, i, name int) {
	r := x.steps.nodes[s.node[i]].own[name]
	if r == nil {
		return
	}
	if best := s.ended[name]; best == 0 || x.world.better(r, x.claims[best-1]) {
		s.ended[name] = x.claim(r)
	}
}

// claim returns the number of a claim, from 1, by node and timestamp.
func (x *explorer) claim(r *replica.Record) uint8 {
	for i, c := range x.claims {
		if c.Node == r.Node && c.Time == r.Time {
			return uint8(i + 1)
		}
	}
	x.claims = append(x.claims, r)
	if len(x.claims) > 255 {
		panic("explore: too many claims")
	}
	return uint8(len(x.claims))
}
