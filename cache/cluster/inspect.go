package cluster

import (
	"github.com/snowfence/snowfence/cache"
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
