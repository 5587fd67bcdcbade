package group

import (
	"bytes"
	"fmt"

	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// An Event is a change of a group that this node has seen.
type Event struct {
	Kind   EventKind
	Group  string
	Member Member          // as it is or, of Left, as it was
	Before Member          // of Updated: as it was
	Reason registry.Reason // of Left
	Missed uint64          // of Missed: how many events
}

// EventKind is the type of an [Event].
type EventKind uint8

// The kinds of events.
const (
	// Joined: Member has joined, or its node is seen again.
	Joined EventKind = iota + 1
	// Updated: Member has other metadata than Before.
	Updated
	// Left: Member is gone, for Reason: [registry.ReasonReleased] if it left or its context ended
	// (these are not told apart), [registry.ReasonClosed] if its registry closed, or the reason for
	// which its node is gone. A member whose node is down may come back: Joined again.
	Left
	// Missed: the watcher was too slow, and Missed older events were dropped just here.
	Missed
)

var eventKinds = [...]string{Joined: "joined", Updated: "updated", Left: "left", Missed: "missed"}

// String returns the kind in words.
func (k EventKind) String() string {
	if k > 0 && int(k) < len(eventKinds) {
		return eventKinds[k]
	}
	return "unknown"
}

// String describes the event in one line, for logs and tests.
func (e Event) String() string {
	switch e.Kind {
	case Left:
		return fmt.Sprintf("%v %s: %d on %s: %v", e.Kind, quote(e.Group), e.Member.ID, e.Member.Node,
			e.Reason)
	case Missed:
		return fmt.Sprintf("%v %d events", e.Kind, e.Missed)
	case Joined, Updated:
	}
	return fmt.Sprintf("%v %s: %d on %s", e.Kind, quote(e.Group), e.Member.ID, e.Member.Node)
}

// publish publishes the changes between two lists of one node; nil: it has none.
func (g *Groups) publish(r *replica.Record, before, after *claim) {
	var was, is []Member
	if before != nil {
		was = before.members()
	}
	if after != nil {
		is = after.members()
	}
	reason := registry.ReasonReleased
	if r.Dead && r.Why != replica.WhyEnded {
		reason = r.Why
	}
	for len(was) > 0 || len(is) > 0 {
		switch {
		case len(is) == 0 || len(was) > 0 && was[0].ID < is[0].ID:
			g.hub.Publish(Event{Kind: Left, Group: r.Name, Member: was[0], Reason: reason})
			was = was[1:]
		case len(was) == 0 || is[0].ID < was[0].ID:
			g.hub.Publish(Event{Kind: Joined, Group: r.Name, Member: is[0]})
			is = is[1:]
		default:
			if !bytes.Equal(was[0].Meta, is[0].Meta) {
				g.hub.Publish(Event{Kind: Updated, Group: r.Name, Member: is[0], Before: was[0]})
			}
			was, is = was[1:], is[1:]
		}
	}
}
