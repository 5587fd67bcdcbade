package cluster

// Lose does what is done when names are lost.
func (c *Cache[V]) Lose(keys ...string) {
	for _, key := range keys {
		c.lost(key)
	}
}

// Origins returns of how many incarnations the book of deletes has a chapter.
func (c *Cache[V]) Origins() int { return c.deletes.Stats().Origins }

// Incarnation returns the number that the node has told the others.
func (c *Cache[V]) Incarnation() uint64 { return c.run }
