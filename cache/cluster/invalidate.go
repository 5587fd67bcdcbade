package cluster

import (
	"context"
	"slices"
	"sync"

	"github.com/snowfence/snowfence/cache/cluster/internal/deletes"
)

// Delete removes key on all nodes, together with loads of it that are under way. When it returns
// nil, every member that this node sees has done so: no Fetch that begins later on any of them
// returns a value that was loaded before Delete was called.
//
// With a second level (Options.Cache), Delete first removes the record there, for the second
// level's Timeout at most. If it can't be reached, the delete goes on, and once the record has been
// removed the nodes remove the key once more: an owner may have loaded the record in between.
//
// Then Delete removes the key here at once, and waits for the other members until ctx ends. If one
// can't be reached it fails with an [*UnconfirmedError]. There is nothing to repeat: that node gets
// the delete when it can be reached. Until then it serves the older value to its own callers, for
// the value's TTL at most. A node that this one does not see, because the network is split, gets
// the delete when the two meet. ErrClosed means that the cache is closed. If the cache closes while
// Delete waits, the error matches both, and the unconfirmed nodes may never get the delete.
func (c *Cache[V]) Delete(ctx context.Context, key string) error {
	if len(key) > c.o.MaxKey {
		return &KeyError{Len: len(key), Max: c.o.MaxKey}
	}
	return c.invalidate(ctx, deletes.Delete{Kind: deletes.Key, Key: key})
}

// InvalidateTag removes all values that bear tag on all nodes, as [Cache.Delete] removes a key.
// Tags of Options.Cache returns the tags of a value, on each node; without it InvalidateTag fails
// with an [*OptionError]. A node without it does not know which of its values bear the tag, and
// drops all.
func (c *Cache[V]) InvalidateTag(ctx context.Context, tag string) error {
	switch {
	case c.o.Cache.Tags == nil:
		return &OptionError{"Cache.Tags", "nil", "a function, since InvalidateTag is called"}
	case len(tag) > c.o.MaxKey:
		return &KeyError{Len: len(tag), Max: c.o.MaxKey, Tag: true}
	}
	return c.invalidate(ctx, deletes.Delete{Kind: deletes.Tag, Key: tag})
}

// Clear removes all keys on all nodes, as [Cache.Delete] removes one.
func (c *Cache[V]) Clear(ctx context.Context) error {
	return c.invalidate(ctx, deletes.Delete{Kind: deletes.All})
}

func (c *Cache[V]) invalidate(ctx context.Context, d deletes.Delete) error {
	if c.closed.Load() {
		return ErrClosed
	}
	c.counters.deletes.Add(1)
	if c.hasSecond {
		c.removeSecond(ctx, d)
	}
	seq := c.note(d)
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

// Flush waits until the changes of this node up to now have reached the second level: the results
// of loads, and deletes that have not waited long enough. It does what cache.Cache.Flush does.
func (c *Cache[V]) Flush(ctx context.Context) error { return c.store.Flush(ctx) }

// note removes what d says here, and makes the other nodes do so.
func (c *Cache[V]) note(d deletes.Delete) uint64 {
	switch d.Kind {
	case deletes.All:
		return c.deletes.Clear()
	case deletes.Tag:
		return c.deletes.InvalidateTag(d.Key)
	default:
		return c.deletes.Delete(d.Key)
	}
}

// removeSecond removes what d says in the second level. It does so before the nodes remove it:
// otherwise an owner could load the older record after it has removed its entry. If the second
// level can't be reached, removedSecond makes them do so once more afterwards.
func (c *Cache[V]) removeSecond(ctx context.Context, d deletes.Delete) {
	switch d.Kind {
	case deletes.All:
		c.entries.RemoveSecond(ctx, nil, []string{""})
	case deletes.Tag:
		c.entries.RemoveSecond(ctx, nil, []string{d.Key})
	default:
		c.entries.RemoveSecond(ctx, []string{d.Key}, nil)
	}
}

// removedSecond is called when the second level has removed what a delete did not wait for.
func (c *Cache[V]) removedSecond(keys, tags []string) {
	for _, tag := range tags {
		if tag == "" {
			c.deletes.Clear()
		} else {
			c.deletes.InvalidateTag(tag)
		}
	}
	for _, key := range keys {
		c.deletes.Delete(key)
	}
}

// applyDeletes drops the entries of this node that the deletes concern.
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

// reset drops everything, since this node has missed deletes that the others have forgotten. It
// reports whether there was an entry.
func (c *Cache[V]) reset() bool {
	some := c.store.Len() > 0
	c.dropAll()
	if some {
		c.log.Warn("this node has missed too many deletes: its cache is cleared")
	}
	return some
}
