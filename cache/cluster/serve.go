package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// backend answers the requests of other nodes.
type backend[V any] struct{ c *Cache[V] }

// Fetch implements peer.Backend.
func (b backend[V]) Fetch(ctx context.Context, _, key string, after []byte) (peer.Value, error) {
	value, err := b.c.serve(ctx, key, after)
	switch {
	case err == nil:
		b.c.counters.served.Add(1)
	case !refuses(err):
		b.c.counters.servedErrors.Add(1)
	}
	return value, err
}

// refuses reports whether err says that another node has to be asked, rather than what became of Load.
func refuses(err error) bool {
	return errors.As(err, new(*peer.MisplacedError)) || errors.Is(err, peer.ErrBusy) || errors.Is(err, ErrOverloaded) || errors.Is(err, ErrClosed)
}

// serve returns the value of a key that this node owns or may claim. It never asks a third node.
func (c *Cache[V]) serve(ctx context.Context, key string, after []byte) (value peer.Value, err error) {
	if c.closed.Load() {
		return value, ErrClosed
	}
	if err := c.deletes.Require(key, after); err != nil {
		return value, fmt.Errorf("cluster: %w", err)
	}
	v, ok := c.owned.Get(key)
	if ok && c.o.Cache.RefreshAfter > 0 {
		v, err = c.owned.Fetch(ctx, key, c.loadFn) // a hit, which starts the refresh if it is due
	} else if !ok {
		owner := c.place(ctx, key)
		switch owner.Node {
		case c.self:
		case "":
			return value, peer.ErrBusy
		default:
			return value, &peer.MisplacedError{Node: c.self, Owner: owner.Node}
		}
		v, err = c.fetchOwn(ctx, key)
	}
	if err != nil {
		return value, err
	}
	// The value that is stored now is this one or a newer one, and its time is known.
	if stored, ttl, ok := c.owned.Peek(key); ok {
		v, value.Keep = stored, ttl
		if ttl == 0 {
			value.Keep = -1
		}
	}
	if value.Data, err = c.o.Codec.Encode(v); err != nil {
		return peer.Value{}, fmt.Errorf("cluster: encode the value of key %q: %w", key, err)
	}
	return value, nil
}

// Exchange implements peer.Backend.
func (b backend[V]) Exchange(_ context.Context, _ string, message []byte) ([]byte, error) {
	return b.c.mergeDeletes(message)
}
