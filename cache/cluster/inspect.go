package cluster

import "github.com/snowfence/snowfence/courier"

// Inspect returns what shows the loads of this node and its requests to owners: the flights under
// way, their durations, the slowest, and the keys that back off.
func (c *Cache[V]) Inspect() courier.Inspector { return c.store.Inspect() }
