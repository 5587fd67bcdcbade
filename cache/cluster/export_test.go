package cluster

// Lose makes c act as if it had lost the names of keys.
func (c *Cache[V]) Lose(keys ...string) {
	for _, key := range keys {
		c.ownershipLost(key)
	}
}

// Incarnation returns the node's incarnation.
func (c *Cache[V]) Incarnation() uint64 { return c.incarnation }
