package explore

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Violation is an invariant that does not hold.
type Violation struct {
	Invariant string
	Detail    string
}

// String returns the invariant's name and the detail.
func (v *Violation) String() string { return v.Invariant + ": " + v.Detail }

func violated(invariant, format string, args ...any) *Violation {
	for i, a := range args {
		switch a := a.(type) {
		case *replica.Record:
			args[i] = record(a)
		case []*replica.Record:
			args[i] = "[" + records(a) + " ]"
		}
	}
	return &Violation{invariant, fmt.Sprintf(format, args...)}
}

// An effect is one input to a node, and its consequences.
type effect struct {
	before, after *node
	in            input
	message       replica.Message
	published     map[string]*replica.Record
	out           replica.Output
	flushed       []*replica.Update
	registered    *replica.Record
	refused       *replica.Record
}

// act gives the input to the core.
func (e *effect) act(w *World) {
	n, in := e.after, e.in
	switch in.kind {
	case Register:
		at := n.at()
		at.Wall = w.wall(in.b)
		e.registered, e.refused = n.core.Register(at, nameNames[in.a], nil)
	case Update:
		n.core.Update(n.at(), nameNames[in.a], []byte{'m', in.b})
	case Release:
		n.core.Unregister(n.at(), nameNames[in.a], replica.WhyReleased)
	case Flush:
		e.flushed = n.core.Flush(1200, 0)
	case Deliver:
		n.core.Receive(n.at(), nodeNames[in.a], e.message)
	case Suspect:
		n.up &^= 1 << in.a
		n.core.NodeDown(n.at(), nodeNames[in.a], in.b == 1)
	case Hear:
		n.up |= 1 << in.a
		n.core.NodeUp(n.at(), nodeNames[in.a], w.incarnation(in.b))
	case Tick:
		n.mono += pause
		n.core.Tick(n.at())
	}
}

// check checks the invariants of every step.
func (e *effect) check(w *World) *Violation {
	for i := range w.names() {
		for _, f := range []func(*World, int) *Violation{e.ownAuthority, e.bestShown, e.eventsReplay} {
			if v := f(w, i); v != nil {
				return v
			}
		}
	}
	for _, f := range []func(*World) *Violation{e.losses, e.watermarks, e.registerHonest,
		e.flushComplete, e.noFalseAlarm} {
		if v := f(w); v != nil {
			return v
		}
	}
	return nil
}

// ownAuthority checks that own claims change only by a local call or by a loss that is reported; a
// refutation may give them new numbers.
func (e *effect) ownAuthority(_ *World, i int) *Violation {
	was, is := e.before.own[i], e.after.own[i]
	if same(was, is) {
		return nil
	}
	if local := e.in.kind == Register || e.in.kind == Update || e.in.kind == Release; local &&
		int(e.in.a) == i {
		return nil
	}
	if was != nil && is == nil {
		if slices.ContainsFunc(e.out.Lost,
			func(l replica.Loss) bool { return l.Own.Name == was.Name && l.Own.Time == was.Time }) {
			return nil
		}
		return violated("LosersTold", "%v is gone without a loss", was)
	}
	if was != nil && is != nil && was.Time == is.Time && bytes.Equal(was.Meta, is.Meta) &&
		e.in.kind == Deliver {
		return nil
	}
	return violated("OwnAuthority", "the own claim was %v and is %v", was, is)
}

// losses checks that a claim is withdrawn only for a better one of another node.
func (e *effect) losses(w *World) *Violation {
	for _, l := range e.out.Lost {
		i := slices.Index(nameNames[:], l.Own.Name)
		switch was := e.before.own[i]; {
		case was == nil || was.Time != l.Own.Time:
			return violated("LosersTold", "a loss of %v, but held was %v", l.Own, was)
		case e.after.own[i] != nil:
			return violated("LosersTold", "a loss of %v, but %v is still there", l.Own,
				e.after.own[i])
		case l.Winner.Node == l.Own.Node || !w.better(l.Winner, l.Own):
			return violated("WinnerIsResolved", "%v was withdrawn for %v", l.Own, l.Winner)
		}
	}
	return nil
}

// better reports whether a is preferred to b by the world's resolver and the default order,
// implemented independently of the core.
func (w *World) better(a, b *replica.Record) bool {
	switch {
	case a.Time == b.Time:
		return a.Node > b.Node
	case w.Oldest:
		return a.Time.Compare(b.Time) < 0
	}
	return a.Time.Compare(b.Time) > 0
}

// bestShown checks that a lookup returns the best of the visible claims; that those are of nodes
// that are up, at most one for each; and that the published winner is that of the lookup.
func (e *effect) bestShown(w *World, i int) *Violation {
	n := e.after
	var best *replica.Record
	for _, r := range n.claims[i] {
		if r.Node != nodeNames[n.self] && n.up>>nodeIndex(r.Node)&1 == 0 {
			return violated("DownIsHidden", "%v is shown, whose node is down", r)
		}
		if best == nil || w.better(r, best) {
			best = r
		}
	}
	if !same(best, n.shows[i]) {
		return violated("WinnerIsResolved", "of%v a lookup gives %v", n.claims[i], n.shows[i])
	}
	published, ok := e.published[nameNames[i]]
	if ok && !same(published, n.shows[i]) || !ok && !same(e.before.shows[i], n.shows[i]) {
		return violated("PublishedIsShown", "published was %v, before %v, but a lookup gives %v",
			published, e.before.shows[i], n.shows[i])
	}
	return nil
}

// eventsReplay checks that the events lead from the winners before to those after.
func (e *effect) eventsReplay(_ *World, i int) *Violation {
	shown := e.before.shows[i]
	for _, ev := range e.out.Events {
		if ev.Name != nameNames[i] {
			continue
		}
		switch ev.Type {
		case replica.Registered:
			if shown != nil {
				return violated("EventsReplay", "%v registered over %v", ev.Record, shown)
			}
			shown = ev.Record
		case replica.Updated:
			if !same(shown, ev.Other) {
				return violated("EventsReplay", "updated from %v, but shown was %v", ev.Other, shown)
			}
			shown = ev.Record
		case replica.Unregistered:
			if !same(shown, ev.Record) {
				return violated("EventsReplay", "%v unregistered, but shown was %v", ev.Record, shown)
			}
			if e.in.kind != Suspect && (ev.Why == replica.WhyNodeDown || ev.Why == replica.WhyNodeLeft) {
				return violated("NoHearsay", "%v was hidden, but membership said nothing", ev.Record)
			}
			shown = nil
		}
	}
	if !same(shown, e.after.shows[i]) {
		return violated("EventsReplay", "the events end with %v, a lookup gives %v", shown,
			e.after.shows[i])
	}
	return nil
}

// watermarks checks that only membership and a higher incarnation lower a watermark, and nothing
// lowers an incarnation.
func (e *effect) watermarks(*World) *Violation {
	if e.in.kind == Suspect || e.in.kind == Hear {
		return nil
	}
	for i, was := range e.before.marks {
		is := e.after.marks[i]
		if is.Incarnation < was.Incarnation || is.Incarnation == was.Incarnation && is.Seq < was.Seq {
			return violated("WatermarkRises", "of %s: was %d in run %d, is %d in run %d", nodeNames[i],
				was.Seq, was.Incarnation, is.Seq, is.Incarnation)
		}
	}
	return nil
}

func (e *effect) registerHonest(*World) *Violation {
	if e.in.kind != Register {
		return nil
	}
	was := e.before.shows[e.in.a]
	if (was == nil) != (e.registered != nil) || !same(was, e.refused) {
		return violated("RegisterIsHonest", "shown was %v; got %v, refused for %v", was, e.registered,
			e.refused)
	}
	return nil
}

// flushComplete checks that the updates follow each other up to the watermark, and that nothing is
// left to flush.
func (e *effect) flushComplete(*World) *Violation {
	if e.in.kind != Flush {
		return nil
	}
	mark := e.before.marks[e.before.self].Seq
	for i, u := range e.flushed {
		if i > 0 && u.After != e.flushed[i-1].UpTo || i == len(e.flushed)-1 && u.UpTo != mark {
			return violated("FlushIsComplete", "%s, though the watermark is %d", describe(u), mark)
		}
	}
	if len(e.flushed) == 0 || e.after.pending {
		return violated("FlushIsComplete", "%d updates, pending: %v", len(e.flushed), e.after.pending)
	}
	return nil
}

// noFalseAlarm checks that no event reports a disagreement or a panic, as the resolver is sound.
func (e *effect) noFalseAlarm(*World) *Violation {
	for _, ev := range e.out.Events {
		if ev.Type == replica.Disagreement || ev.Type == replica.ResolverPanic ||
			ev.Type == replica.ClockAhead {
			return violated("NoFalseAlarm", "event %d, %v against %v", ev.Type, ev.Record, ev.Other)
		}
	}
	return nil
}

// gone returns the claims of other nodes that a message hid, although it reported no new run of the
// node.
func (e *effect) gone() []*replica.Record {
	if e.in.kind != Deliver {
		return nil
	}
	var gone []*replica.Record
	for i := range e.before.claims {
		for _, r := range e.before.claims[i] {
			k := nodeIndex(r.Node)
			if k == e.before.self || e.before.marks[k].Incarnation != e.after.marks[k].Incarnation {
				continue
			}
			if !slices.ContainsFunc(e.after.claims[i],
				func(o *replica.Record) bool { return o.Node == r.Node && o.Time == r.Time }) {
				gone = append(gone, r)
			}
		}
	}
	return gone
}
