package explore

import (
	"slices"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// patience bounds the rounds of ticks, and the steps in each, until the world rests.
const (
	patience  = 64
	roundSize = 2000
)

// calm ends all faults, corrects all memberships, delivers all messages in order, and lets time
// pass until only equal summaries are sent. s becomes the state of rest.
func (x *explorer) calm(s *state) *Violation {
	x.inOrder = true
	defer func() { x.inOrder = false }()
	x.say("-- calm")
	if v := x.meet(s); v != nil {
		return v
	}
	var trail []fingerprint
	for round := range patience {
		// The next states depend on the nodes, the messages, and the round's seed, of which only the
		// parity matters.
		b := []byte{byte(round & 1)}
		for i := range s.node {
			b = append(b, byte(s.node[i]), byte(s.node[i]>>8), byte(s.node[i]>>16), s.run[i])
		}
		for _, f := range s.flying {
			b = append(b, f.from, f.to, byte(f.msg), byte(f.msg>>8), byte(f.msg>>16))
		}
		fp := fingerprintOf(b)
		if rest, ok := x.rests[fp]; ok && !x.describing {
			s.node, s.flying = rest, nil
			x.remember(trail, s.node)
			return nil
		}
		trail = append(trail, fp)
		if v := x.drain(s, nil); v != nil {
			return v
		}
		before := s.node
		roots := map[uint32]int{}
		for i := range x.world.Nodes {
			if s.alive(i) {
				x.say("%s: a tick", nodeNames[i])
				if v := x.local(s, i, input{kind: Tick, b: uint8(round % len(x.steps.seeds))}); v != nil {
					return v
				}
			}
		}
		if v := x.drain(s, roots); v != nil {
			return v
		}
		if s.node == before && len(roots) <= 1 &&
			(len(roots) == 0 || roots[mostly(roots)] == x.living(s)) {
			x.remember(trail, s.node)
			return nil
		}
	}
	return violated("AllMessagesProcessed", "no rest after %d rounds", patience)
}

// meet mends all links and corrects all memberships.
func (x *explorer) meet(s *state) *Violation {
	s.cut = 0
	for i := range x.world.Nodes {
		for j := range x.world.Nodes {
			if i != j && s.alive(i) && s.view[i][j] != s.real(i, j) {
				x.say("%s sees the state of %s", nodeNames[i], nodeNames[j])
				if v := x.hear(s, i, j); v != nil {
					return v
				}
			}
		}
	}
	return nil
}

func mostly(m map[uint32]int) uint32 {
	for k := range m {
		return k
	}
	return 0
}

func (x *explorer) remember(trail []fingerprint, rest [3]uint32) {
	for _, fp := range trail {
		x.rests[fp] = rest
	}
}

func (x *explorer) living(s *state) (n int) {
	for i := range x.world.Nodes {
		if s.alive(i) {
			n++
		}
	}
	return n
}

// drain flushes and delivers until nothing is left, and counts the messages.
func (x *explorer) drain(s *state, sent map[uint32]int) *Violation {
	for range roundSize {
		for i := range x.world.Nodes {
			if s.alive(i) && x.steps.nodes[s.node[i]].pending {
				x.say("%s flushes", nodeNames[i])
				if v := x.local(s, i, input{kind: Flush}); v != nil {
					return v
				}
			}
		}
		if len(s.flying) == 0 {
			return nil
		}
		f := s.flying[0]
		s.flying = s.flying[1:]
		if sent != nil {
			sent[f.msg]++
		}
		if x.describing {
			x.say("%s → %s: %s", nodeNames[f.from], nodeNames[f.to], describe(x.steps.messages[f.msg]))
		}
		if v := x.deliver(s, f); v != nil {
			return v
		}
	}
	return violated("AllMessagesProcessed", "still busy after %d messages between two ticks",
		roundSize)
}

// judge brings a copy of a state to rest and checks the invariants of rest.
func (x *explorer) judge(s state) *Violation {
	if x.world.Churn {
		if v := x.churns(s); v != nil {
			return v
		}
	}
	// Nothing is released from now on, so the best claim that stands must keep its name, unless a
	// better one that ended may still be under way.
	var best [2]*replica.Record
	for k := range x.world.names() {
		for i := range x.world.Nodes {
			if !s.alive(i) {
				continue
			}
			if own := x.steps.nodes[s.node[i]].own[k]; own != nil &&
				(best[k] == nil || x.world.better(own, best[k])) {
				best[k] = own
			}
		}
		if e := s.ended[k]; e > 0 && best[k] != nil && !x.world.better(best[k], x.claims[e-1]) {
			best[k] = nil
		}
	}
	if v := x.calm(&s); v != nil {
		return v
	}
	if _, ok := x.quiet[s.node]; !ok || x.describing {
		if v := x.atRest(&s); v != nil {
			return v
		}
		if v := x.retake(s); v != nil {
			return v
		}
		x.quiet[s.node] = struct{}{}
	}
	for k, want := range best {
		if want == nil {
			continue
		}
		for i := range x.world.Nodes {
			if !s.alive(i) {
				continue
			}
			if got := x.steps.nodes[s.node[i]].shows[k]; got == nil || got.Node != want.Node ||
				got.Time != want.Time {
				return violated("WinnerIsResolved",
					"%v was the best claim when calm began, and not released, but %s finds %v", want, nodeNames[i],
					got)
			}
		}
	}
	return nil
}

// atRest checks the invariants of a state of rest.
func (x *explorer) atRest(s *state) *Violation {
	for k := range x.world.names() {
		var holder *replica.Record
		for i := range x.world.Nodes {
			if !s.alive(i) {
				continue
			}
			if own := x.steps.nodes[s.node[i]].own[k]; own != nil {
				if holder != nil {
					return violated("ThereCanBeOnlyOne", "%v and %v are both held", holder, own)
				}
				holder = own
			}
		}
		for i := range x.world.Nodes {
			if !s.alive(i) {
				continue
			}
			n := x.steps.nodes[s.node[i]]
			if holder != nil && !slices.ContainsFunc(n.claims[k],
				func(r *replica.Record) bool { return same(r, holder) }) {
				return violated("AllRegistered", "%v is held, but %s shows%v", holder, nodeNames[i],
					n.claims[k])
			}
			for _, r := range n.claims[k] {
				if !same(r, holder) {
					return violated("NoZombie", "%s shows %v; held is %v", nodeNames[i], r, holder)
				}
			}
		}
	}
	for i := range x.world.Nodes {
		if !s.alive(i) {
			continue
		}
		if n := x.steps.nodes[s.node[i]]; !n.synced || n.pending || n.core.Stats().Buffered > 0 {
			return violated("AllMessagesProcessed",
				"%s is at rest, but synced: %v, pending: %v, updates that wait: %d", nodeNames[i], n.synced,
				n.pending, n.core.Stats().Buffered)
		}
	}
	return nil
}

// retake releases each name and registers it on another node.
func (x *explorer) retake(s state) *Violation {
	for k := range x.world.names() {
		b, next := uint8(k), -1
		for i := range x.world.Nodes {
			if !s.alive(i) {
				continue
			}
			if x.steps.nodes[s.node[i]].own[k] == nil {
				next = i
				continue
			}
			x.say("%s releases %s", nodeNames[i], nameNames[k])
			if v := x.local(&s, i, input{kind: Release, a: b}); v != nil {
				return v
			}
			if next < 0 {
				next = i
			}
		}
		if next < 0 {
			return nil // no node is alive
		}
		if v := x.calm(&s); v != nil {
			return v
		}
		if v := x.atRest(&s); v != nil {
			return v
		}
		if r := x.steps.nodes[s.node[next]].shows[k]; r != nil {
			return violated("Retakable", "%s was released, but %s shows %v", nameNames[k], nodeNames[next],
				r)
		}
		x.say("%s registers %s", nodeNames[next], nameNames[k])
		if v := x.local(&s, next, input{kind: Register, a: b, b: 100 + b}); v != nil {
			return v
		}
		if v := x.calm(&s); v != nil {
			return v
		}
		if v := x.atRest(&s); v != nil {
			return v
		}
		if x.steps.nodes[s.node[next]].own[k] == nil {
			return violated("Retakable", "%s was released and registered on %s, which lost it", nameNames[k],
				nodeNames[next])
		}
	}
	return nil
}
