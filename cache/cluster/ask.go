package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
)

// ask is what flights of copies run: it gets the value of a key from its owner or, if that does not deliver, loads it here.
//
// Nobody forwards a request. A node that does not own what it is asked for says who does, as far as it knows, and that one is
// asked too; then it ends. So views of the cluster that differ cost a load, but can't send a request in a circle.
func (c *Cache[V]) ask(ctx context.Context, key string) (v V, err error) {
	node, asked := c.units.Owner(key).Node, ""
	for range 2 {
		if node == "" || node == c.self || node == asked {
			break
		}
		to, ok := c.members.address(node)
		if !ok {
			break
		}
		v, err = c.askNode(ctx, to, key)
		if err == nil || errors.As(err, new(*LoadError)) || ctx.Err() != nil {
			return v, err
		}
		var elsewhere *peer.MisplacedError
		if !errors.As(err, &elsewhere) {
			break
		}
		asked, node = node, elsewhere.Owner
	}
	return c.loadHere(ctx, key)
}

// askNode asks one node. A value is kept as a copy.
func (c *Cache[V]) askNode(ctx context.Context, to peer.Address, key string) (v V, err error) {
	c.counters.asked.Add(1)
	sent := time.Now()
	got, err := c.client.Fetch(ctx, to, key, c.deletes.After(key))
	if err == nil {
		if v, err = c.o.Codec.Decode(got.Data); err != nil {
			err = &peer.UnavailableError{Node: to.Node, Reason: peer.Rubbish, Err: fmt.Errorf("decode the value: %w", err)}
		}
	}
	if err != nil {
		c.countAskFailure(err)
		c.log.Debug("another node did not deliver", "owner", to.Node, "error", err)
		return v, err
	}
	switch left := got.Keep - time.Since(sent); {
	case got.Keep < 0:
		c.keepCopy(ctx, 0)
	case left > 0:
		c.keepCopy(ctx, left)
	default:
		cache.StoreFor(ctx, 0)
	}
	return v, nil
}

// loadHere loads a key that another node owns, or nobody. What it gets is kept as long as an owner would keep it, and
// not for CopyTTL alone: so an owner that does not deliver costs each node one load, as without a cluster, and not one every
// CopyTTL.
func (c *Cache[V]) loadHere(ctx context.Context, key string) (v V, err error) {
	if !c.spare.TryAcquire(1) {
		c.counters.localRejected.Add(1)
		return v, fmt.Errorf("cluster: %w: %d loads for other nodes are running (Options.MaxLocalLoads)", ErrOverloaded, c.o.MaxLocalLoads)
	}
	defer c.spare.Release(1)
	c.counters.localLoads.Add(1)
	v, _, err = c.local.Do(ctx, key, func(ctx context.Context) (V, error) { return c.load(ctx, key) })
	if c.o.CopyTTL < 0 {
		cache.StoreFor(ctx, 0)
	}
	return v, err
}

func (c *Cache[V]) countAskFailure(err error) {
	var down *peer.UnavailableError
	switch {
	case errors.As(err, &down):
		c.counters.failures[down.Reason].Add(1)
	case errors.As(err, new(*peer.MisplacedError)):
		c.counters.misplaced.Add(1)
	}
}
