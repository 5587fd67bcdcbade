package explore

// churnRounds bounds the generations of messages until all have caught up, while names change all
// the time. Two nodes with two names need fewer than ten.
const churnRounds = 40

// churns ends all faults, lets node 0 release and register the last name after each generation of
// messages, and checks that all nodes catch up. Updates are lost, so that nodes must pull.
func (x *explorer) churns(s state) *Violation {
	x.inOrder = true
	defer func() { x.inOrder = false }()
	x.say("-- the faults are over, and names change on")
	if v := x.meet(&s); v != nil {
		return v
	}
	name := uint8(x.world.names() - 1)
	for round := range churnRounds {
		if x.caughtUp(&s) {
			return nil
		}
		if s.alive(0) {
			in := input{kind: Register, a: name, b: uint8(100 + round)}
			n := x.steps.nodes[s.node[0]]
			if n.own[name] != nil {
				in = input{kind: Release, a: name}
			}
			if n.own[name] != nil || n.shows[name] == nil {
				x.say("%s: %s changes", nodeNames[0], nameNames[name])
				if v := x.local(&s, 0, in); v != nil {
					return v
				}
			}
		}
		if v := x.generation(&s, round); v != nil {
			return v
		}
	}
	return violated("CatchesUp", "not all have caught up after %d generations of messages",
		churnRounds)
}

// generation delivers the messages under way, except updates; if there are none, it lets time pass.
func (x *explorer) generation(s *state, round int) *Violation {
	for i := range x.world.Nodes {
		if s.alive(i) && x.steps.nodes[s.node[i]].pending {
			if v := x.local(s, i, input{kind: Flush}); v != nil {
				return v
			}
		}
	}
	var now []flight
	for _, f := range s.flying {
		if !x.steps.isUpdate(f.msg) {
			now = append(now, f)
		}
	}
	s.flying = nil
	for _, f := range now {
		if x.describing {
			x.say("%s → %s: %s", nodeNames[f.from], nodeNames[f.to], describe(x.steps.messages[f.msg]))
		}
		if v := x.deliver(s, f); v != nil {
			return v
		}
	}
	if len(now) > 0 {
		return nil
	}
	for i := range x.world.Nodes {
		if s.alive(i) {
			x.say("%s: a tick", nodeNames[i])
			if v := x.local(s, i, input{kind: Tick, b: uint8(round % len(x.steps.seeds))}); v != nil {
				return v
			}
		}
	}
	return nil
}

// caughtUp reports whether every node has caught up with all others, and shows the claims on the
// names that do not change.
func (x *explorer) caughtUp(s *state) bool {
	for i := range x.world.Nodes {
		if !s.alive(i) {
			continue
		}
		n := x.steps.nodes[s.node[i]]
		if !n.caught {
			return false
		}
		for k := range x.world.names() - 1 {
			for j := range x.world.Nodes {
				if s.alive(j) && x.steps.nodes[s.node[j]].own[k] != nil && n.shows[k] == nil {
					return false
				}
			}
		}
	}
	return true
}
