package cache

import "github.com/snowfence/snowfence/courier"

// Inspect returns what shows the cache's loads: the flights under way, their durations, the
// slowest, and the keys that back off. Hits do not pass the courier, and are not in there.
func (c *Cache[K, V]) Inspect() courier.Inspector { return c.courier }
