package cluster

import (
	"context"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/ownership"
)

// Fetch returns the value of key: the one that this node has or, if there is none, what its owner has or loads. Whoever misses
// a key at the same time, on whatever node, shares one call of Load, as long as the nodes see each other.
//
// Fetch blocks until the value is there, the load has failed, or ctx has ended. An owner that is silent for Options.PeerTimeout,
// or does not deliver for another reason, is not waited for: this node calls Load itself then.
//
// err is a [*LoadError] if Load failed on another node, and what cache.Cache.Fetch says if it was called on this one. It is
// ErrOverloaded if this node had to load itself and already does so for Options.MaxLocalLoads keys, a [*KeyError] if the
// key is too long, ErrClosed, or the cause of ctx.
func (c *Cache[V]) Fetch(ctx context.Context, key string) (V, error) {
	if v, ok := c.owned.Get(key); ok {
		if c.o.Cache.RefreshAfter > 0 {
			return c.owned.Fetch(ctx, key, c.loadFn) // a hit, which starts the refresh if it is due
		}
		return v, nil
	}
	if v, ok := c.copies.Get(key); ok {
		return v, nil
	}
	return c.miss(ctx, key)
}

// Get returns the value of key if this node has it, its own or a copy. It does not block.
func (c *Cache[V]) Get(key string) (V, bool) {
	if v, ok := c.owned.Get(key); ok {
		return v, true
	}
	v, ok := c.copies.Get(key)
	if !ok {
		c.counters.misses.Add(1)
	}
	return v, ok
}

func (c *Cache[V]) miss(ctx context.Context, key string) (v V, err error) {
	c.counters.misses.Add(1)
	switch {
	case len(key) > c.o.MaxKey:
		return v, &KeyError{Len: len(key), Max: c.o.MaxKey}
	case c.closed.Load():
		return v, ErrClosed
	}
	if c.place(ctx, key).Node == c.self {
		return c.fetchOwn(ctx, key)
	}
	return c.copies.Fetch(ctx, key, c.askFn)
}

// place says who owns key. A key that nobody holds and that is this node's to claim is claimed. If that fails, this node
// serves it all the same, without a name: it is the key's home, so all who do not find a name come here.
func (c *Cache[V]) place(ctx context.Context, key string) ownership.Owner {
	owner := c.units.Owner(key)
	if owner.Node != c.self || owner.Held {
		return owner
	}
	claimed, err := c.units.Claim(ctx, key)
	if err != nil {
		c.log.Debug("a name could not be claimed", "error", err)
		return owner
	}
	return claimed
}

// fetchOwn returns the value of a key that this node owns.
func (c *Cache[V]) fetchOwn(ctx context.Context, key string) (V, error) {
	v, err := c.owned.Fetch(ctx, key, c.loadFn)
	if err == nil && c.kept(key) {
		c.units.Arrived(key)
		if !c.kept(key) {
			c.units.Left(key) // it went before we said that it is there
		}
	}
	return v, err
}

func (c *Cache[V]) kept(key string) bool {
	_, _, ok := c.owned.Peek(key)
	return ok
}

// loadOwn is what flights of owned run.
func (c *Cache[V]) loadOwn(ctx context.Context, key string) (V, error) {
	v, err := c.load(ctx, key)
	if owner := c.units.Owner(key); err == nil && owner.Held && owner.Node != c.self {
		// Ownership was lost meanwhile: what was loaded is a copy.
		c.keepCopy(ctx, 0)
	}
	return v, err
}

// load calls Load.
func (c *Cache[V]) load(ctx context.Context, key string) (v V, err error) {
	c.counters.loads.Add(1)
	done := false
	defer func() { // also after a panic or Goexit of Load
		if !done {
			c.counters.loadErrors.Add(1)
		}
	}()
	v, err = c.o.Load(ctx, key)
	done = err == nil
	return v, err
}

// keepCopy makes the result of the load in ctx be kept as long as a copy may be: for
// CopyTTL, for owner (how much longer its owner keeps it; 0: until it is evicted), and
// no longer than Load has said.
func (c *Cache[V]) keepCopy(ctx context.Context, owner time.Duration) {
	keep := c.o.CopyTTL
	if said, ok := cache.StoreTTL(ctx); ok {
		keep = min(keep, said)
	}
	if owner > 0 {
		keep = min(keep, owner)
	}
	cache.StoreFor(ctx, keep)
}
