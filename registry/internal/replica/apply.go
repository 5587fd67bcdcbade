package replica

import (
	"cmp"
	"slices"
	"strings"
)

// This file holds what one record does to a replica, in the order in which it happens:
//
//	write                  numbers a change of this node
//	applyRecords           takes a message of another node (receive.go)
//	apply                  puts the record into its origin's log
//	  replace              sets the origin's claim on the name, and draws the consequences:
//	    place              stores the claim
//	    resolve            finds the winner, publishes it and makes the events
//	    reportConflicts    reports the conflicts that a claim which came into sight is part of
//	    detectBothWithdrew reports a resolver that made both nodes withdraw
//	    yieldTo            withdraws the own claim if another is preferred, by a write
//
// That write is a recursion, one level deep: it ends the own claim, so its own yieldTo finds none.
// reveal, in members.go, shows and hides the claims of a whole node by the same steps from resolve
// on.

// write makes the next change of the own sequence.
func (p *Partition) write(at At, r *Record) {
	t := p.own
	t.seq++
	r.Seq = t.seq
	if !p.Queued(r.Name) {
		if p.pending == 0 {
			p.oldest = at.Mono
		}
		p.pending++
	}
	p.apply(at, t, r)
}

// apply puts a record where the table's older ones on the name stood. The caller moves the
// watermark.
func (p *Partition) apply(at At, t *table, r *Record) {
	was, tomb := p.claim(r.Name, t.origin), t.tombs[r.Name]
	if was != nil && was.Seq >= r.Seq || tomb != nil && tomb.Seq >= r.Seq {
		return
	}
	if t != p.own {
		p.cfg.Clock.Observe(r.Time, at.Wall)
	}
	if was != nil {
		t.stale++
	}
	if tomb != nil {
		t.stale++
		delete(t.tombs, r.Name)
	}
	t.log = append(t.log, r) // in order: r is above the watermark, and the log is not
	if r.Dead {
		t.tombs[r.Name] = r
		p.replace(at, r.Name, t.origin, nil, r)
	} else {
		p.replace(at, r.Name, t.origin, r, r)
	}
	if t != p.own {
		p.dropTombstones(t) // own tombstones must be handed out first: Flush sees to them
	}
	p.compact(t)
}

// replace sets a node's claim on a name (nil: none) and draws the consequences. cause is the record
// that changes the claim: r itself, or a tombstone.
func (p *Partition) replace(at At, name, node string, r, cause *Record) {
	before, was := p.Lookup(name), p.claim(name, node)
	p.place(name, node, r)
	p.resolve(name, before, cause.Why)
	if p.shared(name) {
		if (r != nil || was != nil) && p.tables[node].visible {
			p.event(Event{Type: SharedChanged, Name: name, Record: cause})
		}
		return
	}
	if r != nil && was == nil && p.sees(r) {
		p.reportConflicts(name, r)
	}
	if cause.Verdict != nil {
		p.detectBothWithdrew(name, cause)
	}
	p.yieldTo(at, name)
}

// A contest is a name with several claims, hidden ones included.
type contest struct {
	claims []*Record // in the order of node names
	winner *Record   // of the visible ones
}

// find returns the index of a node's claim, and whether it has one.
func (c *contest) find(node string) (int, bool) {
	return slices.BinarySearchFunc(c.claims, node,
		func(r *Record, node string) int { return strings.Compare(r.Node, node) })
}

// claim returns a node's claim on a name, visible or not.
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

// place stores a node's claim on a name; nil takes it away.
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

// resolve finds the winner among the visible claims, publishes it and makes the events. before is
// the winner until now, and why the reason if that claim is gone.
func (p *Partition) resolve(name string, before *Record, why Why) {
	if c := p.contests[name]; c != nil {
		c.winner = p.best(name, c.claims)
	}
	p.noteUnresolved(name)
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

// best returns the visible claim that is preferred to all others. It compares them in the order of
// node names, so that the choice depends on nothing but their set.
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

// prefers returns a positive number if a is kept, a negative one if b is; a.Node < b.Node.
func (p *Partition) prefers(a, b *Record) int {
	return cmp.Or(p.compare(a, b), a.Time.Compare(b.Time), strings.Compare(a.Node, b.Node))
}

// compare asks the resolver. A panic counts as 0.
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

// noteUnresolved keeps unresolved up to date. Names are in it for a moment and few at a time, while
// contests may be as many as names.
func (p *Partition) noteUnresolved(name string) {
	c := p.contests[name]
	wins := c != nil && c.winner != nil && c.winner.Node == p.cfg.Self && !p.shared(name)
	if wins && slices.ContainsFunc(c.claims,
		func(r *Record) bool { return r != c.winner && p.sees(r) }) {
		p.unresolved[name] = struct{}{}
	} else {
		delete(p.unresolved, name)
	}
}

// reportConflicts reports the conflicts that a claim which came into sight is part of.
func (p *Partition) reportConflicts(name string, r *Record) {
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

// detectBothWithdrew reports a resolver that made both nodes withdraw: tomb, the other's tombstone,
// names the very claim that this node withdrew in favour of the other's.
func (p *Partition) detectBothWithdrew(name string, tomb *Record) {
	loss, ok := p.withdrawn[name]
	if !ok || tomb.Node != loss.Winner.Node {
		return
	}
	delete(p.withdrawn, name)
	want := Verdict{Winner: p.cfg.Self, WinnerSeq: loss.Own.Seq, LostSeq: loss.Winner.Seq,
		Time: loss.Own.Time}
	// and not a claim of another run with the same number
	if *tomb.Verdict == want && tomb.Time == loss.Winner.Time {
		p.disagree(name, loss)
	}
}

// disagree reports that another node resolved a conflict the other way.
func (p *Partition) disagree(name string, l Loss) {
	p.stats.Disagreements++
	p.event(Event{Type: Disagreement, Name: name, Record: l.Winner, Other: l.Own})
}

// yieldTo withdraws the own claim on a name if another is preferred. No other node does that; they
// learn it from the tombstone.
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
