package cluster

import (
	"cmp"
	"slices"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/quarantine"
	"github.com/snowfence/snowfence/courier"
)

// Inspect returns what shows the loads of this node and its requests to owners: the flights under
// way, their durations, the slowest, and the keys that back off.
func (c *Cache[V]) Inspect() courier.Inspector { return c.store.Inspect() }

// Store returns the counts of the store in the form that packages cacheprom and cacheotel take.
func (c *Cache[V]) Store() Store { return Store{c.store} }

// A Store shows the store of a Cache: own entries and copies alike. Its methods do what those of
// cache.Cache do.
type Store struct {
	of interface {
		Stats() cache.Stats
		Len() int
		Inspect() courier.Inspector
	}
}

// Stats returns the counters of the store: those of Stats.Store.
func (s Store) Stats() cache.Stats { return s.of.Stats() }

// Len returns the number of entries: that of Stats.Entries.
func (s Store) Len() int { return s.of.Len() }

// Inspect does what Cache.Inspect does.
func (s Store) Inspect() courier.Inspector { return s.of.Inspect() }

// Hottest returns the n keys that this node was asked for most of late, by its callers and by other
// nodes: see cache.Cache.Hottest.
func (c *Cache[V]) Hottest(n int) cache.HotKeys { return c.store.Hottest(n) }

// Node returns the name of this node.
func (c *Cache[V]) Node() string { return c.self }

// Slots returns how many of Options.Slots each node owns, this one included, as far as this node
// sees. It is nil unless Options.Ownership is BySlot. It looks at each slot, so it takes 200 ns for
// each, and does not block.
func (c *Cache[V]) Slots() map[string]int { return c.owners.Shares() }

// A SuspectKey is a key whose load may end a process: a node has died while it loaded the key.
type SuspectKey struct {
	Key string

	// State is "suspect" (one node at a time tries it), "on trial" (a node tries it now) or
	// "quarantined" (no node loads it, since two have died).
	State string

	Died  []string  // the nodes that have died
	Trier string    // the node that tries it, or is to
	Until time.Time // the end of the quarantine
}

// Suspects returns the keys that are suspect or quarantined, sorted: 1,024 at most. It does not
// block.
func (c *Cache[V]) Suspects() []SuspectKey {
	var list []SuspectKey
	for key, v := range c.quarantine.All() {
		k := SuspectKey{Key: key, Died: v.Deaths, Trier: v.Trier.Node, Until: v.Until}
		switch v.State {
		case quarantine.Suspect:
			k.State = "suspect"
		case quarantine.OnTrial:
			k.State = "on trial"
		case quarantine.Quarantined:
			k.State = "quarantined"
		case quarantine.Clear:
		}
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b SuspectKey) int { return cmp.Compare(a.Key, b.Key) })
	return list
}
