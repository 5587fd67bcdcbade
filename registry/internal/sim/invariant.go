package sim

import (
	"bytes"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Violation is an invariant that did not hold.
type Violation struct {
	Invariant string
	Detail    string
	At        time.Duration
}

// String returns the invariant's name and the detail.
func (v *Violation) String() string {
	return fmt.Sprintf("%s at %v: %s", v.Invariant, v.At, v.Detail)
}

// violated ends the run with a Violation.
func (w *World) violated(invariant, format string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case *replica.Record:
			args[i] = record(a)
		case []*replica.Record:
			args[i] = records(a)
		}
	}
	panic(&Violation{Invariant: invariant, Detail: fmt.Sprintf(format, args...)})
}

// input is the latest input of a core.
type input struct {
	msg   replica.Message
	local string // name of a local call
	up    string // node
	down  string // node
	all   bool   // check all names; set by takeEffects
}

// takeEffects takes what an input led to, passes it on as the shell does, and checks what must hold
// at every step.
func (n *node) takeEffects(part int, in input) {
	c := &n.cores[part]
	out := c.Take()
	if w := n.world; w.trace != nil {
		for i := range out.Events {
			w.logf("%s [%d] %s", n.name, part, describeEvent(&out.Events[i]))
		}
		for _, l := range out.Lost {
			w.logf("%s [%d] LOST %s to %s", n.name, part, record(l.Own), record(l.Winner))
		}
	}
	ahead := n.replay(c, in, out.Events)
	n.losersTold(c, out.Lost, ahead)
	switch {
	case in.down != "":
		in.all = true
	case in.msg == nil && in.local == "" && in.up == "":
		c.ticks++
		in.all = len(out.Events) > 0 || c.touched && c.ticks%16 == 0
	default:
		c.touched = true
	}
	if c.touched || ahead {
		n.ownAuthority(c, ahead)
	}
	n.inspect(c, part, in, out.Events)
	for _, u := range out.Relay {
		n.relay(part, u)
	}
	for _, e := range out.Send {
		n.post(part, e)
	}
}

// losersTold checks that every own claim that is gone without a local call came with a Loss, whose
// winner is a claim of another node that the resolver prefers. (LosersTold, WinnerIsResolved.)
func (n *node) losersTold(c *core, lost []replica.Loss, ahead bool) {
	w := n.world
	for _, l := range lost {
		own := c.own[l.Own.Name]
		// A claim may lose by an update, or by the timestamp that it was given just now.
		if own == nil || l.Own.Node != n.name || own.Time != l.Own.Time && !ahead {
			w.violated("LosersTold", "%s gets a loss of %v, but it holds %v", n.name, l.Own, own)
		}
		if l.Winner.Node == n.name || !w.setup.Resolver.better(l.Winner, l.Own) {
			w.violated("WinnerIsResolved", "%s withdrew %v for %v, which is not better by %v", n.name, l.Own,
				l.Winner, w.setup.Resolver)
		}
		w.authentic(n, l.Winner)
		if own.Time != l.Own.Time {
			w.dirty[l.Own.Name] = true
		}
		w.ended[own] = w.now
		n.changes++
		delete(c.own, l.Own.Name)
	}
}

// replay replays the events, and reports whether the node's clock was found to be ahead. It checks
// that only membership, never another node's message, hides the claims of a node. (NoHearsay.)
func (n *node) replay(c *core, in input, events []replica.Event) (ahead bool) {
	w := n.world
	for i := range events {
		e := &events[i]
		was := c.shows[e.Name]
		switch e.Type {
		case replica.Registered:
			if was != nil {
				w.violated("EventsConsistent", "%s: %v registered while %v is", n.name, e.Record, was)
			}
			c.shows[e.Name] = e.Record
		case replica.Updated:
			if was == nil || !same(was, e.Other) {
				w.violated("EventsConsistent", "%s: %v updated from %v, but it was %v", n.name, e.Record,
					e.Other, was)
			}
			c.shows[e.Name] = e.Record
		case replica.Unregistered:
			if was == nil || !same(was, e.Record) {
				w.violated("EventsConsistent", "%s: %v unregistered, but it was %v", n.name, e.Record, was)
			}
			if (e.Why == replica.WhyNodeDown || e.Why == replica.WhyNodeLeft) && in.down != e.Record.Node {
				w.violated("NoHearsay", "%s hides %v as %v, but membership did not say so", n.name, e.Record,
					e.Why)
			}
			delete(c.shows, e.Name)
		case replica.Conflict:
			if !w.setup.Resolver.better(e.Record, e.Other) {
				w.violated("WinnerIsResolved", "%s reports that %v won over %v", n.name, e.Record, e.Other)
			}
		case replica.Disagreement:
			w.violated("WinnerIsResolved",
				"%s reports a disagreement on %v and %v, but the resolver is sound", n.name, e.Record, e.Other)
		case replica.ResolverPanic:
			w.violated("NoPanic", "%s: the resolver panicked: %v", n.name, e.Panic)
		case replica.SharedChanged:
			if m := (member{e.Name, e.Record.Node}); e.Record.Dead {
				delete(c.members, m)
			} else {
				c.members[m] = e.Record
			}
		case replica.ClockAhead:
			ahead = true
		}
	}
	return ahead
}

// ownAuthority checks that a node's own claims change only by its own calls and by losses, and
// their timestamps only when its clock was found to be ahead. (OwnAuthority.)
func (n *node) ownAuthority(c *core, ahead bool) {
	w, count := n.world, 0
	c.OwnNames(func(r *replica.Record) bool {
		count++
		own := c.own[r.Name]
		if own == r {
			return true
		}
		if own == nil {
			w.violated("OwnAuthority", "%s has %v, which it did not register", n.name, r)
		}
		switch {
		case own.Time == r.Time:
		case !ahead:
			w.violated("OwnAuthority", "%s has %v, which was %v", n.name, r, own)
		default:
			w.dirty[r.Name] = true
			n.newest = r.Time
		}
		if !bytes.Equal(own.Meta, r.Meta) {
			w.violated("OwnAuthority", "%s has %v, which was %v", n.name, r, own)
		}
		w.note(n, r)
		w.ended[own] = w.now
		n.changes++
		c.own[r.Name] = r
		return true
	})
	if ahead {
		n.newest = n.newestOwn()
	}
	if count != len(c.own) {
		for name, own := range c.own {
			if c.Own(name) == nil {
				w.violated("LosersTold", "%s lost %v without a loss", n.name, own)
			}
		}
	}
}

// inspect checks the names that an input touched.
func (n *node) inspect(c *core, part int, in input, events []replica.Event) {
	w := n.world
	if in.all {
		c.touched = false
		for _, name := range w.partNames[part] {
			n.winnerIsResolved(c, name)
		}
		if got := c.Len(); got != len(c.published) {
			w.violated("EventsConsistent", "%s counts %d names, but published %d", n.name, got,
				len(c.published))
		}
		n.bounded(c)
		return
	}
	for i := range events {
		if events[i].Name != "" {
			n.winnerIsResolved(c, events[i].Name)
		}
	}
	switch m := in.msg.(type) {
	case *replica.Update:
		for _, r := range m.Records {
			n.winnerIsResolved(c, r.Name)
		}
	case *replica.Chunk:
		for _, r := range m.Records {
			n.winnerIsResolved(c, r.Name)
		}
	}
	if in.local != "" {
		n.winnerIsResolved(c, in.local)
	}
}

// winnerIsResolved checks that a lookup returns the claim that the resolver picks among the visible
// ones, and that the events and the published winners agree with it; that each claim is as its node
// wrote it; and that only claims of nodes that are up are visible. (WinnerIsResolved,
// EventsConsistent, Authentic, DownIsHidden.)
func (n *node) winnerIsResolved(c *core, name string) {
	w := n.world
	got, claims := c.Lookup(name), c.Claims(name)
	for _, r := range claims {
		w.authentic(n, r)
		if r.Node != n.name && !n.views[r.Node[1]-'a'].up {
			w.violated("DownIsHidden", "%s sees %s down, but shows %v", n.name, r.Node, r)
		}
		if r.Node != n.name && !n.views[r.Node[1]-'a'].spoken[w.partOf[name]].given {
			w.violated("ShownWhenConfirmed", "%s shows %v, but no node spoke for %s since that came up",
				n.name, r, r.Node)
		}
		if r.Node != n.name {
			n.isAsNewAsSpoken(w.partOf[name], r)
		}
		if own := c.own[name]; r.Node == n.name && r != own {
			w.violated("OwnAuthority", "%s shows %v, but holds %v", n.name, r, own)
		}
	}
	want := w.setup.Resolver.pick(claims)
	if w.setup.shared(name) {
		want = nil
		if len(claims) > 0 {
			want = claims[0]
		}
	}
	if got != want {
		w.violated("WinnerIsResolved", "%s looks up %q: %v, but of the claims%v, %v is the better by %v",
			n.name, name, got, claims, want, w.setup.Resolver)
	}
	if w.setup.shared(name) {
		n.sharedConsistent(c, name, claims)
	} else if c.shows[name] != got {
		w.violated("EventsConsistent", "%s looks up %q: %v, but the events say %v", n.name, name, got,
			c.shows[name])
	}
	if c.published[name] != got {
		w.violated("EventsConsistent", "%s looks up %q: %v, but published %v", n.name, name, got,
			c.published[name])
	}
	if own := c.own[name]; own != nil && !w.setup.shared(name) && got != own {
		w.violated("LosersTold", "%s shows %v but still holds %v", n.name, got, own)
	}
}

// hear notes the nodes that a vector speaks for.
func (n *node) hear(part int, v *replica.Vector) {
	for _, e := range v.Entries {
		of := &n.views[e.Origin[1]-'a']
		if e.Visible && of.up && (!of.spoken[part].given || e.Incarnation > of.spoken[part].incarnation) {
			of.spoken[part] = spoken{given: true, incarnation: e.Incarnation, seq: e.Seq}
		}
	}
}

// shownWhenConfirmed checks that a node speaks for another only when it has reached the watermark
// of a node that did so before. (ShownWhenConfirmed.)
func (n *node) shownWhenConfirmed(part int, v *replica.Vector) {
	for _, e := range v.Entries {
		if e.Origin == n.name || !e.Visible {
			continue
		}
		if heard := n.views[e.Origin[1]-'a'].spoken[part]; !heard.given ||
			heard.incarnation == e.Incarnation && heard.seq > e.Seq {
			n.world.violated("ShownWhenConfirmed", "%s shows %s at %d, but a vector said %d: %s", n.name,
				e.Origin, e.Seq, heard.seq, describe(v))
		}
	}
}

// A number identifies a change of an origin's run.
type number struct{ incarnation, seq uint64 }

// supersede notes which records an update ends, of those that were handed out before.
func (c *core) supersede(w *World, u *replica.Update) {
	if c.flushedIn != u.Incarnation {
		clear(c.flushed) // numbers start again
		c.flushedIn = u.Incarnation
	}
	for _, r := range u.Records {
		if was := c.flushed[r.Name]; was != nil && was != r {
			w.endedBy[was] = number{u.Incarnation, r.Seq}
		}
		c.flushed[r.Name] = r
	}
}

// isAsNewAsSpoken checks that no claim is shown that had ended when a node first spoke for its
// origin. (ShownWhenConfirmed.)
func (n *node) isAsNewAsSpoken(part int, r *replica.Record) {
	told := n.views[r.Node[1]-'a'].spoken[part]
	if end, ok := n.world.endedBy[r]; ok && told.given && end.incarnation == told.incarnation &&
		end.seq <= told.seq {
		n.world.violated("ShownWhenConfirmed", "%s shows %v, which ended with %d, and a vector said %d",
			n.name, r, end.seq, told.seq)
	}
}

// sharedConsistent checks that the events of a shared name agree with the claims shown.
// (EventsConsistent.)
func (n *node) sharedConsistent(c *core, name string, claims []*replica.Record) {
	at := 0
	for _, other := range n.world.nodes {
		said, shown := c.members[member{name, other.name}], (*replica.Record)(nil)
		if at < len(claims) && claims[at].Node == other.name {
			shown = claims[at]
			at++
		}
		if said != shown {
			n.world.violated("EventsConsistent", "%s shows %v of %q from %s, but the events say %v", n.name,
				shown, name, other.name, said)
		}
	}
}

// authentic checks that a claim is exactly as its node wrote it. (Authentic.)
func (w *World) authentic(n *node, r *replica.Record) {
	if o, ok := w.made[r]; !ok || !same(r, &o.copy) {
		w.violated("Authentic", "%s shows %v, which %s never wrote", n.name, r, r.Node)
	}
}

// monotone checks that the timestamps of a node's successive claims grow, unless its clock is found
// to be ahead. If all clocks are right, they must be the time of the claim. (Monotone.)
func (n *node) monotone(r *replica.Record) {
	w := n.world
	if r.Time.Compare(n.newest) <= 0 && n.clock.Stats().Clamps == 0 {
		w.violated("Monotone", "%s claims %v after it gave out %v", n.name, r, n.newest)
	}
	n.newest = r.Time
	if w.setup.honest() && !w.stepped && n.clock.Stats().Clamps == 0 {
		if want := epoch + int64(w.now); r.Time.Nanos != want {
			w.violated("Monotone", "all clocks are right, but %s claims %v at %d", n.name, r, want-epoch)
		}
	}
}

// newestOwn returns the newest timestamp of the node's claims that stand.
func (n *node) newestOwn() (t hlc.Timestamp) {
	for i := range n.cores {
		n.cores[i].OwnNames(func(r *replica.Record) bool {
			if r.Time.Compare(t) > 0 {
				t = r.Time
			}
			return true
		})
	}
	return t
}

// noStorm checks that no more than most messages were sent. (AllMessagesProcessed.)
func (w *World) noStorm(most int) {
	sum := 0
	for _, n := range w.sent {
		sum += n
	}
	if sum > most {
		w.violated("AllMessagesProcessed", "a storm: messages sent by kind %v", w.sent[1:])
	}
}

// sized checks that a message is not larger than its bound, unless it holds a single record.
// (ChunksBounded.)
func (w *World) sized(n *node, rs []*replica.Record, most int) {
	size := 0
	for _, r := range rs {
		size += len(r.Name) + len(r.Meta)
	}
	if size > most && len(rs) > 1 {
		w.violated("ChunksBounded", "%s sends %d records, %d bytes of names and metadata: at most %d",
			n.name, len(rs), size, most)
	}
}

// numbered checks that a Check or Standing does not hold more claims than its bound allows.
// (ChunksBounded.)
func (w *World) numbered(n *node, numbers int) {
	if most := max(1, w.setup.Limits.ChunkBytes/8); numbers > most {
		w.violated("ChunksBounded", "%s sends %d numbers: at most %d", n.name, numbers, most)
	}
}

// bounded checks the bounds of the tombstones and the buffered updates. (TombstonesBounded.)
func (n *node) bounded(c *core) {
	w, s, l := n.world, c.Stats(), &n.world.setup.Limits
	pending, _ := c.Pending()
	origins := len(w.nodes)
	if most := origins*(l.Tombstones+1) + pending; s.Tombstones > most {
		w.violated("TombstonesBounded", "%s keeps %d tombstones: at most %d", n.name, s.Tombstones, most)
	}
	if most := origins * l.Buffered; s.Buffered > most {
		w.violated("TombstonesBounded", "%s keeps %d updates that wait: at most %d", n.name, s.Buffered,
			most)
	}
}

// same reports whether two records are equal.
func same(a, b *replica.Record) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && a.Name == b.Name && a.Node == b.Node && a.Seq == b.Seq &&
		a.Time == b.Time && bytes.Equal(a.Meta, b.Meta) && a.Dead == b.Dead
}
