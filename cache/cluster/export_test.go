package cluster

// Lose does what is done when names are lost.
func (c *Cache[V]) Lose(keys ...string) {
	for _, key := range keys {
		c.ownershipLost(key)
	}
}

// Incarnation returns the number that the node has told the others.
func (c *Cache[V]) Incarnation() uint64 { return c.incarnation }
