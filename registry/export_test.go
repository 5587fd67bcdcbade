package registry

import "testing"

// A FakeLAN is the network in memory, for tests of package group, which this package can't import.
type FakeLAN = fakeLAN

// NewLAN returns a LAN without nodes.
func NewLAN() *FakeLAN { return newLAN() }

// OpenOn opens a registry on the LAN that knows all the others there, with queues of the given
// size; 0: the default.
func OpenOn(tb testing.TB, l *FakeLAN, name string, queue int) *Registry {
	tb.Helper()
	r, _ := l.open(tb, name, func(c *Config) { c.QueueSize = queue })
	return r
}

// SplitOn cuts the links between two nodes.
func SplitOn(l *FakeLAN, a, b *Registry) { l.split(a, b) }

// HealOn restores the links between two nodes.
func HealOn(l *FakeLAN, a, b *Registry) { l.heal(a, b) }

// JamOn blocks all messages of a node, or lets them pass again.
func JamOn(l *FakeLAN, r *Registry, jammed bool) { l.nodes[r.cfg.NodeName].jam(jammed) }

// Asleep reports whether the second space of names sleeps.
func Asleep(r *Registry) bool { return r.groups.awake() == nil }

// Awaken wakes the second space, as a message would.
func Awaken(r *Registry) { r.partAt(len(r.parts)) }
