package replica

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A contest is a name with several claims, hidden ones included.
type contest struct {
	claims []*Record // in the order of node names
	winner *Record   // of the visible ones
}

// claim returns a node's claim on a name.
func (p *Partition) claim(name, node string) *Record {
	if r := p.sole[name]; r != nil {
		if r.Node == node {
			return r
		}
		return nil
	}
	if c := p.contests[name]; c != nil {
		if i, ok := c.find(node); ok {
			return c.claims[i]
		}
	}
	return nil
}

func (c *contest) find(node string) (int, bool) {
	return slices.BinarySearchFunc(c.claims, node,
		func(r *Record, node string) int { return strings.Compare(r.Node, node) })
}

// place sets a node's claim on a name; nil takes it away.
func (p *Partition) place(name, node string, r *Record) {
	c := p.contests[name]
	if c == nil {
		was := p.sole[name]
		switch {
		case was == nil || was.Node == node:
			if r == nil {
				delete(p.sole, name)
			} else {
				p.sole[name] = r
			}
			return
		case r == nil:
			return
		}
		c = &contest{claims: []*Record{was}}
		delete(p.sole, name)
		p.contests[name] = c
	}
	i, found := c.find(node)
	switch {
	case found && r != nil:
		c.claims[i] = r
	case found:
		c.claims = slices.Delete(c.claims, i, i+1)
	case r != nil:
		c.claims = slices.Insert(c.claims, i, r)
	}
	if len(c.claims) == 1 {
		p.sole[name] = c.claims[0]
		delete(p.contests, name)
		delete(p.disagreed, name)
	}
}

// replace sets a node's claim on a name (nil: none) and draws the consequences: who wins, what is
// shown, whether the own claim is lost. word is the record that says so.
func (p *Partition) replace(at At, name, node string, r, word *Record) {
	before, was := p.Lookup(name), p.claim(name, node)
	p.place(name, node, r)
	p.settle(name, before, word.Why)
	if p.shared(name) {
		if (r != nil || was != nil) && p.tables[node].visible {
			p.event(Event{Type: SharedChanged, Name: name, Record: word})
		}
		return
	}
	if r != nil && was == nil && p.sees(r) {
		p.clash(name, r)
	}
	if word.Verdict != nil {
		p.compareNotes(name, word)
	}
	p.yieldTo(at, name)
}

// settle finds the winner among the visible claims, publishes it and makes the events.
// before is the winner until now, and why the reason if that claim is gone.
func (p *Partition) settle(name string, before *Record, why Why) {
	if c := p.contests[name]; c != nil {
		c.winner = p.best(name, c.claims)
	}
	p.note(name)
	after := p.Lookup(name)
	if after == before {
		return
	}
	switch {
	case before == nil:
		p.live++
	case after == nil:
		p.live--
	}
	if p.cfg.Publish != nil {
		p.cfg.Publish(name, after)
	}
	if p.shared(name) {
		return
	}
	// A node gives a claim an older time only when it finds its clock ahead: that is the same holder.
	if before != nil && after != nil && before.Node == after.Node &&
		after.Time.Compare(before.Time) <= 0 {
		p.event(Event{Type: Updated, Name: name, Record: after, Other: before})
		return
	}
	if before != nil {
		switch {
		case p.claim(name, before.Node) != nil && p.sees(before) &&
			(after == nil || after.Node != before.Node):
			why = WhyConflict // the claim still stands, but another is preferred
		case why == 0:
			why = WhyReleased // and registered again, in one update
		}
		p.event(Event{Type: Unregistered, Name: name, Record: before, Why: why})
	}
	if after != nil {
		p.event(Event{Type: Registered, Name: name, Record: after})
	}
}

// note keeps unsettled up to date: the names on which the own claim wins and another visible one
// stands. There are few at a time, and for a moment, while contests may be as many as names.
func (p *Partition) note(name string) {
	c := p.contests[name]
	wins := c != nil && c.winner != nil && c.winner.Node == p.cfg.Self && !p.shared(name)
	if wins && slices.ContainsFunc(c.claims,
		func(r *Record) bool { return r != c.winner && p.sees(r) }) {
		p.unsettled[name] = struct{}{}
	} else {
		delete(p.unsettled, name)
	}
}

// best folds the visible claims in the order of node names, so that the choice depends on the set
// alone.
func (p *Partition) best(name string, claims []*Record) *Record {
	var best *Record
	shared := p.shared(name)
	for _, r := range claims {
		if !p.sees(r) || best != nil && shared {
			continue
		}
		if best == nil || p.prefers(best, r) < 0 {
			best = r
		}
	}
	return best
}

// prefers is positive where a is kept, negative where b is; a.Node < b.Node.
func (p *Partition) prefers(a, b *Record) int {
	return cmp.Or(p.compare(a, b), a.Time.Compare(b.Time), strings.Compare(a.Node, b.Node))
}

// compare asks the resolver; one that panics has no opinion.
func (p *Partition) compare(a, b *Record) (order int) {
	if p.cfg.Compare == nil {
		return 0
	}
	defer func() {
		if v := recover(); v != nil {
			order = 0
			p.event(Event{Type: ResolverPanic, Name: a.Name, Record: a, Other: b, Panic: v})
		}
	}()
	return p.cfg.Compare(a, b)
}

// clash reports the conflicts that a claim which came into sight is part of.
func (p *Partition) clash(name string, r *Record) {
	c := p.contests[name]
	if c == nil || c.winner == nil || p.shared(name) {
		return
	}
	if c.winner != r {
		p.stats.Conflicts++
		p.event(Event{Type: Conflict, Name: name, Record: c.winner, Other: r})
		return
	}
	for _, other := range c.claims {
		if other != r && p.sees(other) {
			p.stats.Conflicts++
			p.event(Event{Type: Conflict, Name: name, Record: r, Other: other})
		}
	}
}

// yieldTo withdraws the own claim on a name where another is preferred. Only this node
// ever does so; the others learn it from the tombstone.
func (p *Partition) yieldTo(at At, name string) {
	c := p.contests[name]
	if c == nil || c.winner == nil || c.winner.Node == p.cfg.Self {
		return
	}
	own := p.Own(name)
	if own == nil {
		return
	}
	loss := Loss{Own: own, Winner: c.winner}
	if len(p.withdrawn) >= 1024 {
		clear(p.withdrawn)
	}
	p.withdrawn[name] = loss
	p.stats.Lost++
	p.out.Lost = append(p.out.Lost, loss)
	p.write(at, &Record{
		Name: name, Node: p.cfg.Self, Time: own.Time, Dead: true,
		Why: WhyConflict, Verdict: &Verdict{Winner: c.winner.Node, WinnerSeq: c.winner.Seq,
			LostSeq: own.Seq, Time: c.winner.Time},
	})
}

// compareNotes looks for a resolver that made both nodes withdraw: the other's tombstone
// names the very claim that we withdrew in favour of the other's.
func (p *Partition) compareNotes(name string, word *Record) {
	loss, ok := p.withdrawn[name]
	if !ok || word.Node != loss.Winner.Node {
		return
	}
	delete(p.withdrawn, name)
	want := Verdict{Winner: p.cfg.Self, WinnerSeq: loss.Own.Seq, LostSeq: loss.Winner.Seq,
		Time: loss.Own.Time}
	// and not a claim of another run with the same number
	if *word.Verdict == want && word.Time == loss.Winner.Time {
		p.disagree(name, loss)
	}
}

// spot looks for a resolver that lets both nodes keep a name: the other's vector shows that it has
// our claim, shows it, and has not withdrawn its own.
func (p *Partition) spot(from string, theirs, ours Entry) {
	t := p.tables[from]
	if t == nil || !t.visible || !t.exact() || !ours.Visible || ours.Incarnation != p.own.inc ||
		theirs.Incarnation != t.inc || theirs.Seq != t.seq {
		return
	}
	for _, name := range p.contested() {
		own, other := p.Own(name), p.claim(name, from)
		if own == nil || other == nil || ours.Seq < own.Seq {
			continue
		}
		loss := Loss{Own: other, Winner: own}
		if p.disagreed[name] != loss {
			p.disagreed[name] = loss
			p.disagree(name, loss)
		}
	}
}

func (p *Partition) disagree(name string, l Loss) {
	p.stats.Disagreements++
	p.event(Event{Type: Disagreement, Name: name, Record: l.Winner, Other: l.Own})
}

// contested returns the names on which the own claim wins and another visible one stands, sorted.
func (p *Partition) contested() []string { return slices.Sorted(maps.Keys(p.unsettled)) }
