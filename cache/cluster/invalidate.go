package cluster

import (
	"context"
	"slices"
	"sync"

	"github.com/snowfence/snowfence/cache/cluster/internal/deletes"
)

// Delete removes key on all nodes, together with loads of it that are under way. When it returns
// nil, every node that this one sees has done so: no Fetch that begins later, on any of them,
// returns a value that was loaded before Delete was called.
//
// It removes the key here first, without waiting, and then waits for the others until ctx ends. If
// one can't be reached it fails with an [*UnconfirmedError]; there is nothing to repeat: the node
// will be told when it can be reached, and before that it serves an older value until its TTL at
// the longest, and only to its own callers. A node that this one does not see at all, because the
// network is split, is told when the two meet. ErrClosed: the cache is closed. If it closes while
// Delete waits, the error is both, and who has not confirmed the delete may never hear of it.
func (c *Cache[V]) Delete(ctx context.Context, key string) error {
	if len(key) > c.o.MaxKey {
		return &KeyError{Len: len(key), Max: c.o.MaxKey}
	}
	return c.invalidate(ctx, func() uint64 { return c.deletes.Delete(key) })
}

// InvalidateTag removes all values that bear tag on all nodes, as [Cache.Delete] does a key. The
// tags of a value are what Tags of Options.Cache returns for it, on each node: without that
// InvalidateTag fails with an [*OptionError]. A node that has no such function does not know which
// of its values bear the tag, and drops all.
func (c *Cache[V]) InvalidateTag(ctx context.Context, tag string) error {
	switch {
	case c.o.Cache.Tags == nil:
		return &OptionError{"Cache.Tags", "nil", "a function, since InvalidateTag is called"}
	case len(tag) > c.o.MaxKey:
		return &KeyError{Len: len(tag), Max: c.o.MaxKey, Tag: true}
	}
	return c.invalidate(ctx, func() uint64 { return c.deletes.InvalidateTag(tag) })
}

// Clear removes all keys on all nodes, as [Cache.Delete] does one.
func (c *Cache[V]) Clear(ctx context.Context) error {
	return c.invalidate(ctx, c.deletes.Clear)
}

func (c *Cache[V]) invalidate(ctx context.Context, do func() uint64) error {
	if c.closed.Load() {
		return ErrClosed
	}
	c.counters.deletes.Add(1)
	seq := do()
	var missing UnconfirmedError
	var mu sync.Mutex // guards missing
	var waiting sync.WaitGroup
	for node, m := range c.members.all() {
		if m.differs != "" {
			continue
		}
		waiting.Go(func() {
			done := func() bool { return c.deletes.Reported(m.address.Incarnation, seq) }
			if err := c.confirm(ctx, m, done); err != nil {
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

// applyDeletes drops what this node has of what was deleted.
func (c *Cache[V]) applyDeletes(list []deletes.Delete) {
	for _, d := range list {
		switch d.Kind {
		case deletes.All:
			c.dropAll()
		case deletes.Tag:
			c.dropTag(d.Key)
		default:
			c.drop(d.Key)
		}
	}
}

// reset drops everything, since this node has missed deletes that the others don't remember, and
// reports whether anything was there.
func (c *Cache[V]) reset() bool {
	some := c.store.Len() > 0
	c.dropAll()
	if some {
		c.log.Warn("this node has missed too many deletes: its cache is cleared")
	}
	return some
}
