package sim

// Membership stands in for SWIM: each node detects for itself, after a while, whether another is
// up, and may be wrong. So the views of nodes differ for a time.

// A view is one node's belief about another.
type view struct {
	up          bool
	incarnation uint64
	left        bool // it has left
	checking    bool // a look is due
	spoken      []spoken
	asked       []asked
}

// spoken holds the entry of the first vector that spoke for a node since the node was seen up;
// views have one for each partition.
type spoken struct {
	given       bool
	incarnation uint64
	seq         uint64
}

// up reports whether node i would find j up if it looked now.
func (w *World) up(i, j int) bool {
	n := w.nodes[j]
	return n.alive && !n.paused && w.reach(i, j)
}

// reach reports whether i and j can reach each other, with Indirect also through a third node.
func (w *World) reach(i, j int) bool {
	both := func(a, b int) bool { return !w.link(a, b).cut && !w.link(b, a).cut }
	if both(i, j) {
		return true
	}
	if w.setup.Indirect {
		for k, n := range w.nodes {
			if k != i && k != j && n.alive && !n.paused && both(i, k) && both(k, j) {
				return true
			}
		}
	}
	return false
}

// stale reports whether n's view of another is wrong.
func (n *node) stale(other int) bool {
	v, up := &n.views[other], n.world.up(n.id, other)
	return v.up != up || up && v.incarnation != n.world.nodes[other].incarnation
}

// lookAround schedules a look at each node of which another has a wrong view. It is called after
// each step.
func (w *World) lookAround() {
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		for other := range w.nodes {
			if other == n.id || n.views[other].checking || !n.stale(other) {
				continue
			}
			n.lookLater(other)
		}
	}
}

func (n *node) lookLater(other int) {
	w := n.world
	d, in := &w.link(other, n.id).dice, w.setup.Down
	if w.up(n.id, other) {
		in = w.setup.Up
	}
	n.views[other].checking = true
	w.checks++
	w.schedule(event{at: w.now + d.between(in[0], in[1]), do: check, node: int32(n.id),
		from: int32(other), life: n.life})
}

// look corrects a node's view of another.
func (n *node) look(other int, life uint32) {
	if !n.alive || n.life != life {
		return
	}
	w, v := n.world, &n.views[other]
	v.checking = false
	if !n.stale(other) {
		return
	}
	if w.up(n.id, other) {
		if !v.up {
			v.spoken = make([]spoken, len(n.cores))
		}
		v.asked = nil // it may have been forgotten, or have started anew
		w.forgetTransfer(n.name, w.nodes[other].name)
		v.up, v.left, v.incarnation = true, false, w.nodes[other].incarnation
		for i := range v.spoken {
			if v.spoken[i].incarnation != v.incarnation {
				v.spoken[i] = spoken{}
			}
		}
		if w.trace != nil {
			w.logf("%s sees %s up, incarnation %s", n.name, w.nodes[other].name, inc(v.incarnation))
		}
		for i := range n.cores {
			n.cores[i].NodeUp(n.at(), w.nodes[other].name, v.incarnation)
			n.takeEffects(i, input{up: w.nodes[other].name})
		}
		return
	}
	n.loses(other)
}

// loses makes a node's cores see another as down.
func (n *node) loses(other int) {
	w, v := n.world, &n.views[other]
	v.up = false
	name := w.nodes[other].name
	if w.trace != nil {
		w.logf("%s sees %s down, left %v", n.name, name, v.left)
	}
	n.clock.Forget(name)
	for i := range n.cores {
		n.cores[i].NodeDown(n.at(), name, v.left)
		n.takeEffects(i, input{down: name})
	}
}

// suspects makes a node see another as down, until it looks again.
func (n *node) suspects(other int) {
	if n.alive && !n.paused && other != n.id && n.views[other].up {
		n.loses(other)
	}
}
