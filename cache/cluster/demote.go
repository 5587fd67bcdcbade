package cluster

import (
	"context"
	"errors"

	"github.com/snowfence/snowfence/cache"
)

var errGone = errors.New("cluster: the entry is gone")

// demote makes copies of the entries that this node does not own any more.
func (c *Cache[V]) demote(lost func(key string) bool) {
	for key := range c.owned.All() {
		if lost(key) {
			c.demoteOne(key)
		}
	}
}

// demoteKeys is demote for keys that are known.
func (c *Cache[V]) demoteKeys(keys []string) {
	for _, key := range keys {
		if c.kept(key) {
			c.demoteOne(key)
		}
	}
}

// demoteOne moves one entry. It does so in a load of copies: so a Delete that comes in between, which removes the entry
// first and then the copy, finds either the entry still there or the load under way.
func (c *Cache[V]) demoteOne(key string) {
	ctx, cancel := context.WithTimeout(c.life, c.o.PeerTimeout) // where it joins a load that asks the new owner
	defer cancel()
	_, _ = c.copies.Fetch(ctx, key, func(ctx context.Context, key string) (v V, err error) { // whether or not, the entry goes
		v, ttl, ok := c.owned.Peek(key)
		if !ok {
			cache.StoreFor(ctx, 0)
			return v, errGone
		}
		c.keepCopy(ctx, ttl)
		return v, nil
	})
	c.owned.Delete(key)
}
