package replica

import "slices"

// NodeUp tells that a node is up, and the incarnation under which membership knows it. Its claims
// are shown once this replica has come as far as one who speaks for it. Another incarnation than
// before means that the node started anew: what it claimed before is dropped.
func (p *Partition) NodeUp(at At, node string, incarnation uint64) {
	if node == p.cfg.Self {
		return
	}
	t := p.tableOf(node)
	if t.up && t.member == incarnation {
		return
	}
	if t.member != incarnation {
		// A raised incarnation is known from messages before, or never, from membership.
		if t.inc != 0 && t.inc != incarnation {
			p.empty(at, t, WhyNodeRestart)
		}
		t.member = incarnation
		t.inc = max(t.inc, incarnation)
	}
	if !t.up {
		t.up = true
		p.unsettle(t)
		i, _ := slices.BinarySearch(p.peers, node)
		p.peers = slices.Insert(p.peers, i, node)
		t.want = t.seq
	}
	p.ask(at, t)
}

// NodeDown hides the claims of a node that is down, and drops them where it left in good order.
func (p *Partition) NodeDown(at At, node string, left bool) {
	t := p.tables[node]
	if t == nil || t == p.own || !t.up {
		return
	}
	t.up, t.downAt = false, at.Mono
	if i, ok := slices.BinarySearch(p.peers, node); ok {
		p.peers = slices.Delete(p.peers, i, i+1)
	}
	for _, other := range p.peers {
		if o := p.tables[other]; o.pull != nil && o.pull.server == node {
			o.pull = nil
		}
	}
	if left {
		p.empty(at, t, WhyNodeLeft)
		return
	}
	p.unsettle(t)
	if t.visible {
		p.reveal(at, t, false, WhyNodeDown)
	}
}

// reveal shows or hides all claims of a table.
func (p *Partition) reveal(at At, t *table, visible bool, why Why) {
	claims := slices.Collect(p.living(t))
	before := make([]*Record, len(claims))
	for i, r := range claims {
		before[i] = p.Lookup(r.Name)
	}
	t.visible = visible
	for i, r := range claims {
		p.settle(r.Name, before[i], why)
		if p.shared(r.Name) {
			word := r
			if !visible {
				word = &Record{Name: r.Name, Node: r.Node, Time: r.Time, Meta: r.Meta, Dead: true, Why: why}
			}
			p.event(Event{Type: SharedChanged, Name: r.Name, Record: word})
			continue
		}
		if visible {
			p.clash(r.Name, r)
			p.yieldTo(at, r.Name)
		}
	}
}

// ask requests a node's vector, unless it was asked shortly before: then Tick does, later.
func (p *Partition) ask(at At, t *table) {
	if t.asked != 0 && at.Mono < t.asked+p.backOff(p.cfg.VectorEvery, t.asks-1) {
		return
	}
	t.asked = max(at.Mono, 1)
	t.asks++
	p.send(t.origin, p.vector(true))
}

// Tick lets time pass. It should be called some ten times a second.
func (p *Partition) Tick(at At) {
	p.restamp(at)
	for _, node := range slices.Clone(p.order) {
		t := p.tables[node]
		switch {
		case t == p.own:
		case !t.up:
			if at.Mono >= t.downAt+p.cfg.ForgetAfter {
				p.empty(at, t, WhyNodeDown)
				p.drop(t)
			}
		default:
			if t.pull != nil && at.Mono >= t.pull.due {
				p.stats.PullTimeouts++
				t.pull = nil
				t.tries++
			}
			if !t.visible && !t.aimed {
				p.ask(at, t)
			}
		}
	}
	p.pullMore(at)
	p.probe(at)
}

// probe sends a summary to a random peer now and then. Where a conflict is not settled, it
// asks the other side instead.
func (p *Partition) probe(at At) {
	if p.summaryAt == 0 {
		p.summaryAt = at.Mono + p.jitter(p.cfg.SummaryEvery)
	}
	if at.Mono < p.summaryAt || len(p.peers) == 0 {
		return
	}
	p.summaryAt = at.Mono + p.jitter(p.cfg.SummaryEvery)
	if names := p.contested(); len(names) > 0 {
		name := names[p.rand.IntN(len(names))]
		for _, r := range p.Claims(name) {
			if r.Node != p.cfg.Self {
				p.send(r.Node, p.vector(true))
			}
		}
		return
	}
	p.send(p.peers[p.rand.IntN(len(p.peers))], &Summary{Root: p.root()})
}

// restamp gives own claims a new timestamp if the clock was found to be too far ahead since
// they got theirs.
func (p *Partition) restamp(at At) {
	limit, clamps := p.cfg.Clock.Limit(at.Wall)
	if clamps == p.clamps {
		return
	}
	p.clamps = clamps
	var ahead []*Record
	for r := range p.living(p.own) {
		if r.Time.Compare(limit) > 0 {
			ahead = append(ahead, r)
		}
	}
	p.event(Event{Type: ClockAhead})
	for _, r := range ahead {
		p.write(at, &Record{Name: r.Name, Node: r.Node, Time: p.cfg.Clock.Now(at.Wall), Meta: r.Meta})
	}
}
