package registry

import (
	"fmt"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// An Event is a change that this node has seen. Each [EventKind] says which fields are set.
type Event struct {
	Kind EventKind

	Name   string // the name that the event is about; empty for events about nodes
	Claim  Claim  // who has the name, or had it
	Other  Claim  // the claim before, or the one that lost
	Reason Reason // why a name was given up

	Node string // the node that the event is about
	Addr string // its address, host:port, where known
	Err  error

	Missed uint64 // how many events a slow watcher missed
}

// EventKind is the type of an [Event].
type EventKind uint8

// The kinds of events.
const (
	// Registered: Name has a holder, Claim, or another one than before.
	Registered EventKind = iota + 1
	// Updated: the holder of Name changed its metadata, or its node found its clock ahead and gave the
	// claim an older time. Claim is new, Other is the claim before.
	Updated
	// Unregistered: Claim no longer holds Name, for Reason. If another claim takes over, Registered
	// follows.
	Unregistered
	// Conflict: two nodes claim Name. Claim was kept, Other lost; its node withdraws it.
	Conflict
	// Disagreement: another node has resolved the conflict over Name the other way: Claim is kept
	// here, Other there. The Resolver depends on more than its arguments, or is not symmetric.
	Disagreement
	// ResolverPanic: the Resolver panicked, as Err says, and the default order decided.
	ResolverPanic
	// NodeUp: Node, at Addr, is part of the cluster.
	NodeUp
	// NodeDown: Node is no longer seen. Reason is ReasonNodeLeft if it left, otherwise
	// ReasonNodeDown. An Unregistered for each of its names follows.
	NodeDown
	// NodeRefused: Node, at Addr, wanted to join and was refused. Err says why.
	NodeRefused
	// ClockAhead: the wall clock of this node is further ahead of the others' than
	// [Config].MaxClockSkew. Its timestamps are held back until that is over.
	ClockAhead
	// Missed: the watcher was too slow, and Missed older events were dropped just here.
	Missed
)

var eventKinds = [...]string{
	Registered: "registered", Updated: "updated", Unregistered: "unregistered", Conflict: "conflict",
	Disagreement: "disagreement", ResolverPanic: "resolver panic", NodeUp: "node up",
	NodeDown:    "node down",
	NodeRefused: "node refused", ClockAhead: "clock ahead", Missed: "missed",
}

// String returns the kind in words.
func (k EventKind) String() string {
	if k > 0 && int(k) < len(eventKinds) {
		return eventKinds[k]
	}
	return "unknown"
}

// Reason is the reason why a name was given up, or a node is gone. Its String puts it in words.
type Reason = replica.Why

// The reasons.
const (
	ReasonReleased    Reason = replica.WhyReleased // the holder released the name
	ReasonHolderEnded Reason = replica.WhyEnded    // the holder's context ended
	ReasonConflict    Reason = replica.WhyConflict // another node's claim was preferred
	ReasonClosed      Reason = replica.WhyClosed   // the holder's registry closed
	// ReasonNodeDown: the node is not seen any more; if it was cut off, its claims come back.
	ReasonNodeDown    Reason = replica.WhyNodeDown
	ReasonNodeLeft    Reason = replica.WhyNodeLeft    // the node left in good order
	ReasonNodeRestart Reason = replica.WhyNodeRestart // the node started anew
	// ReasonGone: the node no longer lists the name; the reason is not known.
	ReasonGone Reason = replica.WhyMissing
)

// String describes the event in one line, for logs and tests.
func (e Event) String() string {
	switch e.Kind {
	case Registered, Updated:
		return fmt.Sprintf("%v %q on %s", e.Kind, e.Name, e.Claim.Node)
	case Unregistered:
		return fmt.Sprintf("%v %q on %s: %v", e.Kind, e.Name, e.Claim.Node, e.Reason)
	case Conflict:
		return fmt.Sprintf("%v over %q: %s won over %s", e.Kind, e.Name, e.Claim.Node, e.Other.Node)
	case Disagreement:
		return fmt.Sprintf("%v over %q: %s is kept here, %s elsewhere", e.Kind, e.Name, e.Claim.Node,
			e.Other.Node)
	case ResolverPanic:
		return fmt.Sprintf("%v over %q: %v", e.Kind, e.Name, e.Err)
	case NodeUp:
		return fmt.Sprintf("%v: %s at %s", e.Kind, e.Node, e.Addr)
	case NodeDown:
		return fmt.Sprintf("%v: %s: %v", e.Kind, e.Node, e.Reason)
	case NodeRefused:
		return fmt.Sprintf("%v: %s at %s: %v", e.Kind, e.Node, e.Addr, e.Err)
	case Missed:
		return fmt.Sprintf("%v %d events", e.Kind, e.Missed)
	case ClockAhead:
	}
	return e.Kind.String()
}

// eventOf converts an event of the core. It returns false for those that are not for watchers.
func eventOf(e replica.Event) (Event, bool) {
	out := Event{Name: e.Name, Claim: claimOf(e.Record), Other: claimOf(e.Other)}
	switch e.Type {
	case replica.Registered:
		out.Kind = Registered
	case replica.Updated:
		out.Kind = Updated
	case replica.Unregistered:
		out.Kind, out.Reason = Unregistered, e.Why
	case replica.Conflict:
		out.Kind = Conflict
	case replica.Disagreement:
		out.Kind = Disagreement
	case replica.ResolverPanic:
		out.Kind, out.Err = ResolverPanic, fmt.Errorf("registry: resolver panicked: %v", e.Panic)
	case replica.ClockAhead, replica.SharedChanged:
		return Event{}, false // the registry publishes ClockAhead once, not once per partition
	default:
		return Event{}, false
	}
	if e.Record != nil {
		out.Node = e.Record.Node
	}
	return out, true
}
