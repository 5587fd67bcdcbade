package replica

import (
	"math"
	"slices"
	"time"
)

// NodeUp notes that a node is up, and the incarnation under which membership knows it. Its claims
// are shown once this replica has come as far as one that speaks for it. Another incarnation than
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
		p.stopCatchingUp(t)
		i, _ := slices.BinarySearch(p.peers, node)
		p.peers = slices.Insert(p.peers, i, node)
		t.want = max(t.seq, t.top)
	}
	p.countBehind()
	p.askForVector(at, t)
}

// NodeDown hides the claims of a node that is down, and drops them if it left.
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
	} else {
		p.stopCatchingUp(t)
		if t.visible {
			p.reveal(at, t, false, WhyNodeDown)
		}
	}
	p.countBehind()
}

// reveal shows or hides all claims of a table, and draws the consequences as replace does for one.
func (p *Partition) reveal(at At, t *table, visible bool, why Why) {
	claims := slices.Collect(p.living(t))
	before := make([]*Record, len(claims))
	for i, r := range claims {
		before[i] = p.Lookup(r.Name)
	}
	t.visible = visible
	for i, r := range claims {
		p.resolve(r.Name, before[i], why)
		if p.shared(r.Name) {
			change := r
			if !visible {
				change = &Record{Name: r.Name, Node: r.Node, Time: r.Time, Meta: r.Meta, Dead: true, Why: why}
			}
			p.event(Event{Type: SharedChanged, Name: r.Name, Record: change})
			continue
		}
		if visible {
			p.reportConflicts(r.Name, r)
			p.yieldTo(at, r.Name)
		}
	}
}

// askForVector asks a node for its vector, unless that was done shortly before: then Tick does it
// later.
func (p *Partition) askForVector(at At, t *table) {
	if t.asked != 0 && at.Mono < t.asked+p.backOff(p.cfg.VectorEvery, t.asks-1) {
		return
	}
	t.asked = max(at.Mono, 1)
	t.asks++
	p.send(t.origin, p.vector(true))
}

// Tick lets time pass. Call it at the moment that Next returns, and some 50 ms after any other
// input that may have changed that moment.
func (p *Partition) Tick(at At) {
	p.restamp(at)
	for i := 0; i < len(p.order); i++ {
		t := p.tables[p.order[i]]
		switch {
		case t == p.own:
		case !t.up:
			if at.Mono >= t.downAt+p.cfg.ForgetAfter {
				p.empty(at, t, WhyNodeDown)
				p.drop(t)
				i--
			}
		default:
			if t.pull != nil && at.Mono >= t.pull.due {
				p.stats.PullTimeouts++
				p.unanswered(t)
			}
			if !t.visible && !t.hasTarget {
				p.askForVector(at, t)
			}
		}
	}
	p.pullMore(at)
	p.probe(at)
}

// Next returns the moment, by At.Mono, before which Tick has nothing to do; ok is false if it has
// nothing to do until another input comes. Receive, NodeUp, NodeDown and the clock may change the
// answer; Register, Update, Unregister, Flush and Take do not.
func (p *Partition) Next(at At) (due time.Duration, ok bool) {
	const never = time.Duration(math.MaxInt64)
	due = never
	if _, clamps := p.cfg.Clock.Limit(at.Wall); clamps != p.clamps {
		due = at.Mono // restamp
	}
	pulls, lack := 0, never
	for _, node := range p.order {
		t := p.tables[node]
		switch {
		case t == p.own:
			continue
		case !t.up:
			due = min(due, t.downAt+p.cfg.ForgetAfter)
			continue
		case t.pull != nil:
			pulls++
			due = min(due, t.pull.due)
		default:
			if t.want > t.seq {
				lack = min(lack, max(t.gapAt, t.retry))
			}
			if t.doubts() {
				lack = min(lack, t.checkAt())
			}
		}
		if !t.visible && !t.hasTarget {
			gap := p.cfg.VectorEvery << max(0, min(t.asks-1, 4))
			due = min(due, t.asked+gap-gap/8) // the least that askForVector waits
		}
	}
	if pulls < p.cfg.Pulls { // otherwise a pull that ends makes room
		due = min(due, lack)
	}
	if p.probes() && len(p.peers) > 0 {
		due = min(due, p.summaryAt) // 0 before the first Tick that saw a peer
	}
	return due, due != never
}

// probe sends a summary to a random peer at intervals, unless the caller does that
// (Config.Compared). If a conflict is unresolved, it asks the other nodes for their vectors
// instead.
func (p *Partition) probe(at At) {
	if !p.probes() || len(p.peers) == 0 {
		return
	}
	if p.summaryAt == 0 {
		p.summaryAt = at.Mono + p.jitter(p.cfg.SummaryEvery)
	}
	if at.Mono < p.summaryAt {
		return
	}
	p.summaryAt = at.Mono + p.jitter(p.cfg.SummaryEvery)
	if names := p.unresolvedNames(); len(names) > 0 {
		name := names[p.rand.IntN(len(names))]
		for _, r := range p.Claims(name) {
			if r.Node != p.cfg.Self {
				p.send(r.Node, p.vector(true))
			}
		}
		return
	}
	if p.cfg.Compared {
		return
	}
	p.send(p.peers[p.rand.IntN(len(p.peers))], &Summary{Root: p.Root()})
}

// probes reports whether the partition has a reason to probe. Shared names, and claims of nodes
// that are down, are none.
func (p *Partition) probes() bool { return !p.cfg.Compared || len(p.unresolved) > 0 }

// restamp gives own claims a new timestamp if the clock was found to be too far ahead after they
// got theirs.
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
