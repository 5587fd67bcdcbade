package cluster

import (
	"context"
	"slices"
	"sync"

	"github.com/snowfence/snowfence/cache/cluster/internal/deletes"
)

// Delete removes key on all nodes, together with loads of it that are under way. When it returns nil, every node that this one
// sees has done so: no Fetch that begins later, on any of them, returns a value that was loaded before Delete was
// called.
//
// It removes the key here first, without waiting, and then waits for the others until ctx ends. If one can't be reached it
// fails with an [*UnconfirmedError]; there is nothing to repeat: the node will be told when it can be reached, and
// before that it serves an older value until its TTL at the longest, and only to its own callers. A node that this one
// does not see at all, because the network is split, is told when the two meet. ErrClosed: the cache is closed.
func (c *Cache[V]) Delete(ctx context.Context, key string) error {
	if len(key) > c.o.MaxKey {
		return &KeyError{Len: len(key), Max: c.o.MaxKey}
	}
	return c.invalidate(ctx, func() deletes.ID { return c.deletes.Delete(key) })
}

// Clear removes all keys on all nodes, as [Cache.Delete] does one.
func (c *Cache[V]) Clear(ctx context.Context) error {
	return c.invalidate(ctx, c.deletes.Clear)
}

func (c *Cache[V]) invalidate(ctx context.Context, do func() deletes.ID) error {
	if c.closed.Load() {
		return ErrClosed
	}
	c.counters.deletes.Add(1)
	id := do()
	var missing UnconfirmedError
	var mu sync.Mutex // guards missing
	var waiting sync.WaitGroup
	for node, m := range c.members.all() {
		if m.differs != "" {
			continue
		}
		waiting.Go(func() {
			if err := m.confirm(ctx, id); err != nil {
				mu.Lock()
				defer mu.Unlock()
				missing.Nodes, missing.Err = append(missing.Nodes, node), err
			}
		})
	}
	waiting.Wait()
	if missing.Err == nil {
		return nil
	}
	slices.Sort(missing.Nodes)
	return &missing
}

// applyDeletes drops what this node has of what was deleted. Own entries go first: demote relies on it.
func (c *Cache[V]) applyDeletes(list []deletes.Entry) {
	for _, d := range list {
		if d.All {
			c.owned.Clear()
			c.copies.Clear()
			continue
		}
		c.owned.Delete(d.Key)
		c.copies.Delete(d.Key)
	}
}

// reset drops everything: this node has missed more deletes than the others remember.
func (c *Cache[V]) reset() {
	c.log.Warn("this node has missed too many deletes: its cache is cleared")
	c.owned.Clear()
	c.copies.Clear()
}
