package registry

import "testing"

// A LAN is the network in memory for tests of package group, which this package can't import.
type LAN = fakeLAN

// NewLAN returns a LAN without nodes.
func NewLAN() *LAN { return newLAN() }

// OpenOn opens a registry on the LAN that knows all the others there, with queues of some size; 0: the default.
func OpenOn(tb testing.TB, l *LAN, name string, queue int) *Registry {
	tb.Helper()
	r, _ := l.open(tb, name, func(c *Config) { c.QueueSize = queue })
	return r
}

// SplitOn cuts the links between two nodes, and HealOn mends all.
func SplitOn(l *LAN, a, b *Registry) { l.split(a, b) }

// HealOn mends all links.
func HealOn(l *LAN, a, b *Registry) { l.heal(a, b) }

// JamOn has nothing that a node sends get out, or lets it again.
func JamOn(l *LAN, r *Registry, jammed bool) { l.nodes[r.cfg.NodeName].jam(jammed) }

// Asleep tells whether the second space of names sleeps.
func Asleep(r *Registry) bool { return r.groups.awake() == nil }

// Awaken wakes it, as a message would.
func Awaken(r *Registry) { r.partOf(len(r.parts)) }
