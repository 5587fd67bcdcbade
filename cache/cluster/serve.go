package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/courier"
)

// backend answers the requests of other nodes.
type backend[V any] struct{ c *Cache[V] }

// Fetch implements peer.Backend.
func (b backend[V]) Fetch(ctx context.Context, _, key string, after []byte) (peer.Value, error) {
	value, err := b.c.serve(ctx, key, after)
	b.c.countServed(err)
	return value, err
}

// FetchMany implements peer.Backend.
func (b backend[V]) FetchMany(ctx context.Context, _ string, asks []peer.Ask) []peer.Outcome {
	outcomes := b.c.serveMany(ctx, asks)
	for i := range outcomes {
		b.c.countServed(outcomes[i].Err)
	}
	return outcomes
}

func (c *Cache[V]) countServed(err error) {
	switch {
	case err == nil, errors.Is(err, cache.ErrNotFound):
		c.counters.served.Add(1)
	case !refuses(err):
		c.counters.servedErrors.Add(1)
	}
}

// refuses reports whether err says that this node does not answer for the key, rather than how Load
// ended.
func refuses(err error) bool {
	return errors.As(err, new(*peer.MisplacedError)) || errors.As(err, new(*peer.SuspectError)) ||
		errors.Is(err, peer.ErrBusy) ||
		errors.Is(err, peer.ErrUnsendable) || errors.Is(err, ErrOverloaded) || errors.Is(err, ErrClosed)
}

// serve returns the value of a key that this node owns. It never asks a third node, and never waits
// for a flight that asks one.
func (c *Cache[V]) serve(ctx context.Context, key string, after []byte) (peer.Value, error) {
	value, ok, err := c.admit(key, after, new(int64))
	if ok || err != nil {
		return value, err
	}
	return c.serveBy(ctx, key, c.loadOwnFn)
}

// serveBy returns the value of a key for another node. If there is none, a flight calls load.
func (c *Cache[V]) serveBy(
	ctx context.Context, key string, load func(context.Context, string) (V, error),
) (peer.Value, error) {
	began := time.Now()
	v, instead, err := c.entries.Fetch(ctx, key, load)
	return c.encode(began, key, v, instead, err)
}

// Try implements peer.Backend. It tries a key, whoever owns it.
func (b backend[V]) Try(
	ctx context.Context, _, key string, after, record []byte,
) (peer.Value, error) {
	value, err := b.c.serveTrial(ctx, key, after, record)
	b.c.countServed(err)
	return value, err
}

func (c *Cache[V]) serveTrial(
	ctx context.Context, key string, after, record []byte,
) (value peer.Value, err error) {
	if c.closed.Load() {
		return value, ErrClosed
	}
	if err := c.applyAfter(key, after); err != nil {
		return value, err
	}
	c.mergeRecords(record)
	if c.asking.has(key) {
		return value, peer.ErrBusy
	}
	return c.serveBy(ctx, key, c.tryFn)
}

// suspicion returns the error for a node that asks for a key which must not be loaded in the usual
// way.
func (c *Cache[V]) suspicion(key string) error {
	return &peer.SuspectError{Node: c.self, Record: c.quarantine.Record(key)}
}

// admit returns the key's value if it is here, or the error with which this node refuses to serve
// it; then ok or err is set and nothing is loaded. First it applies the deletes that after stands
// for. now is as for hook.Store.Hit.
func (c *Cache[V]) admit(
	key string, after []byte, now *int64,
) (value peer.Value, ok bool, err error) {
	if c.closed.Load() {
		return value, false, ErrClosed
	}
	if err := c.applyAfter(key, after); err != nil {
		return value, false, err
	}
	if c.suspects(key) && !c.store.Contains(key) {
		return value, false, c.suspicion(key)
	}
	switch owner := c.owners.Owner(key); owner {
	case c.self:
	case "":
		return value, false, peer.ErrBusy
	default:
		return value, false, &peer.MisplacedError{Node: c.self, Owner: owner}
	}
	if v, ttl, ok := c.entries.Hit(key, now); ok {
		value, err = c.encodeFor(key, v, ttl)
		return value, true, err
	}
	if c.asking.has(key) {
		return value, false, peer.ErrBusy
	}
	return value, false, nil
}

// applyAfter drops key if after names deletes that this node lacks, and returns peer.ErrBusy then,
// so that the asker loads key itself: an answer of this node could come from a third node that
// lacks them too.
func (c *Cache[V]) applyAfter(key string, after []byte) error {
	dropped, err := c.deletes.Require(key, after)
	switch {
	case err != nil:
		return fmt.Errorf("cluster: %w", err)
	case dropped:
		return peer.ErrBusy
	}
	return nil
}

// serveMany does for many keys what serve does for one.
func (c *Cache[V]) serveMany(ctx context.Context, asks []peer.Ask) []peer.Outcome {
	outcomes := make([]peer.Outcome, len(asks))
	began := time.Now()
	var now int64
	var missing []string
	var at []int // of missing in asks
	for i, a := range asks {
		value, ok, err := c.admit(a.Key, a.After, &now)
		if ok || err != nil {
			outcomes[i] = peer.Outcome{Value: value, Err: err}
		} else {
			missing, at = append(missing, strings.Clone(a.Key)), append(at, i) // it may be stored
		}
	}
	var loaded []courier.Outcome[V]
	if c.o.LoadMany == nil {
		loaded = fetchSingly(missing, func(key string) (V, error) {
			return c.store.Fetch(ctx, key, c.loadOwnFn)
		})
	} else {
		loaded = c.fetchParts(ctx, missing, c.loadOwnMany)
	}
	for j, o := range loaded {
		key := missing[j]
		outcomes[at[j]].Value, outcomes[at[j]].Err = c.encode(began, key, o.Value, nil, o.Err)
	}
	return outcomes
}

// encode returns the result for the asker of a fetch of a key that this node owns; the fetch began
// at began. instead is not nil if v is a stale value: it is why v is given.
func (c *Cache[V]) encode(
	began time.Time, key string, v V, instead, err error,
) (value peer.Value, _ error) {
	s, stale := staleFrom[V](err)
	switch {
	case err == nil:
	case stale && s.drops != c.tagDrops.Load(): // as in interpret
		return value, peer.ErrBusy
	case stale: // the flight asked the key's former owner
		return c.encodeFor(key, c.giveStale(s, err), -1)
	case isSuspect(err), errors.As(err, new(*QuarantineError)): // the asker makes its own error
		return value, c.suspicion(key)
	default:
		return value, callerError(err)
	}
	var keep time.Duration
	if instead != nil {
		keep = -1
	} else if stored, ttl, ok := c.store.Peek(key); ok {
		v = stored // v or a newer value, with a known TTL
		if ttl > 0 || -ttl > time.Since(began) {
			keep = ttl // otherwise the TTL has ended meanwhile
		}
	}
	return c.encodeFor(key, v, keep)
}

// encodeFor returns v encoded for another node. keep is how much longer it is kept here.
func (c *Cache[V]) encodeFor(key string, v V, keep time.Duration) (peer.Value, error) {
	data, err := c.encodeValue(v)
	if err != nil {
		if !c.encodeFailed.Swap(true) {
			c.log.Warn("a value can't be encoded: nodes that ask for one load it themselves", "key", key,
				"error", err)
		}
		return peer.Value{}, fmt.Errorf("%w: encode: %w", peer.ErrUnsendable, err)
	}
	return peer.Value{Data: data, Keep: keep}, nil
}

// Exchange implements peer.Backend.
func (b backend[V]) Exchange(_ context.Context, from string, message []byte) ([]byte, error) {
	message, err := b.c.takeRecords(message)
	if err != nil {
		return nil, err
	}
	answer, err := b.c.deletes.Answer(from, message, messageSize)
	if err != nil {
		return nil, err
	}
	answer, _ = b.c.withRecords(b.c.members.all()[from], answer)
	return answer, nil
}
