package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

// Fetch returns the value of key: the fresh one that this node has or, if there is none, the one
// that the key's owner has or loads. Callers who miss a key at the same time, on whatever node,
// share one call of Load, as long as the nodes see each other.
//
// Fetch blocks until the value is there, the load has failed, or ctx has ended. If the owner is
// silent for Options.PeerTimeout, or does not deliver for another reason, this node calls Load
// itself.
//
// If the load fails or is late, Fetch returns a stale value if there is one, of the owner or of
// this node: see StaleFor of Options.Cache. Fetch does not say that a value is stale; Stats.Stale
// counts them.
//
// err is a [*LoadError] if Load failed on another node. If Load failed on this node, it is the
// error that cache.Cache.Fetch returns. It is a [*KeyError] if the key is too long, ErrClosed, or
// the cause of ctx. It matches cache.ErrNotFound if there is no record, wherever Load ran.
func (c *Cache[V]) Fetch(ctx context.Context, key string) (V, error) {
	switch {
	case len(key) > c.o.MaxKey:
		return *new(V), &KeyError{Len: len(key), Max: c.o.MaxKey}
	case c.closed.Load(): // a Delete of another node does not wait for this one any more
		return *new(V), ErrClosed
	}
	if c.localLoads.active.Load() > 0 {
		return c.fetchLendingTurn(ctx, key)
	}
	v, instead, err := c.entries.Fetch(ctx, key, c.loadOrAskFn)
	if err == nil && instead == nil {
		return v, nil
	}
	return c.interpret(ctx, key, v, instead, err)
}

// fetchLendingTurn does the rest of Fetch while loads in place of owners run, since these may call
// Fetch themselves. Like interpret it is not inlined, so that Fetch needs little stack: callers may
// be new goroutines, and to grow the stacks of a hundred of them takes longer than a fetch.
//
//go:noinline
func (c *Cache[V]) fetchLendingTurn(ctx context.Context, key string) (V, error) {
	if !c.store.Contains(key) {
		defer lendTurn(ctx)()
	}
	v, instead, err := c.entries.Fetch(ctx, key, c.loadOrAskFn)
	return c.interpret(ctx, key, v, instead, err)
}

// interpret returns the result of Fetch for a result of the store, and fetches again where that
// result may not be given.
//
//go:noinline
func (c *Cache[V]) interpret(
	ctx context.Context, key string, v V, instead, err error,
) (V, error) {
	for tries := 1; ; tries++ {
		if isSuspect(err) {
			// That flight served another node, so it could not ask a third one. The next one can.
			if err := waitFor(ctx, nil, time.Millisecond); err != nil {
				return v, err
			}
		} else {
			s, ok := staleFrom[V](errors.Join(err, instead))
			if !ok {
				return v, callerError(err)
			}
			// If a tag was invalidated after the owner was asked, the flight may have begun before this
			// call. The next one has not.
			if s.drops == c.tagDrops.Load() || tries > 1 {
				return c.giveStale(s, err), nil
			}
		}
		if v, instead, err = c.entries.Fetch(ctx, key, c.loadOrAskFn); err == nil && instead == nil {
			return v, nil
		}
	}
}

// loadOrAsk runs in the flights of the store. It takes the steps of the package's comment, and
// loadSuspect takes their place while a load of key may end the node that runs it.
func (c *Cache[V]) loadOrAsk(ctx context.Context, key string) (v V, err error) {
	for {
		if v, err = c.steps(ctx, key); !isSuspect(err) {
			return v, err
		}
		if v, err = c.loadSuspect(ctx, key, false); !isSuspect(err) {
			return v, err
		}
	}
}

// steps takes steps 1 to 5. It returns errSuspect if key must not be loaded in the usual way, as
// was known before or turned out at one of the steps.
func (c *Cache[V]) steps(ctx context.Context, key string) (V, error) {
	if c.suspects(key) {
		return *new(V), errSuspect
	}
	owner := c.owners.Owner(key) // 1
	if owner == c.self {
		return c.loadOwn(ctx, key) // 2
	}
	if v, delivered, err := c.ask(ctx, owner, key); delivered { // 3, 4
		return v, err
	}
	p, err := c.awaitLocalLoad(ctx) // 5
	if err != nil {
		return *new(V), err
	}
	defer p.release()
	return c.loadHere(p.with(ctx), key, c.load)
}

// loadOwn takes step 2: it asks the second level, if there is one, and calls Load if that has no
// value. Flights that serve other nodes take no other, so they never wait for a
// third node.
func (c *Cache[V]) loadOwn(ctx context.Context, key string) (V, error) {
	v, err := c.entries.Through(ctx, key, c.loadFn)
	if c.owners.Owner(key) != c.self { // ownership was lost meanwhile
		cache.StoreFor(ctx, c.copyTTL(ctx, cache.Forever))
	}
	return v, err
}

// ask takes steps 3 and 4. If delivered is false, the key is to be loaded here.
//
// No request is forwarded. A peer that does not own the key names the owner as it knows it; that
// one is asked too, and nobody after it. So different views of the cluster cost a load, and can't
// send a request in a circle.
func (c *Cache[V]) ask(ctx context.Context, node, key string) (v V, delivered bool, err error) {
	c.asking.begin(key)
	defer c.asking.end(key)
	before := ""
	for range 2 {
		to, ok := c.members.address(node)
		if !ok || node == before {
			break
		}
		q := c.beginAsking(ctx, to, 1)
		got, err := c.client.Fetch(withoutDeadline{ctx}, to, key, c.deletes.After(to.Incarnation, key))
		q.took = time.Since(q.sent)
		suspect := c.witness(key, true, to, err)
		r, hint := c.takeAnswer(ctx, q, got, err)
		if suspect && hint != "" {
			return v, true, errSuspect
		}
		if hint == "" {
			return c.deliver(ctx, r)
		}
		c.log.Debug("another node did not deliver", "owner", node, "error", r.Err)
		before, node = node, hint
	}
	return v, false, nil
}

// undelivered is the hint of takeAnswer for a key that is to be loaded here. It can't be a node's
// name.
const undelivered = "\x00"

// A question holds what takeAnswer needs to know of a request.
type question struct {
	to    peer.Address
	sent  time.Time
	drops uint64        // tagDrops when it was sent
	took  time.Duration // until the answer was there
}

// beginAsking is called before a peer is asked for some keys. The peer's load has a time-out of its
// own, so the flight's begins anew, with PeerTimeout added for the way.
func (c *Cache[V]) beginAsking(ctx context.Context, to peer.Address, keys int) question {
	c.counters.asked.Add(uint64(keys)) //nolint:gosec // not negative
	courier.RestartTimeout(ctx, c.o.PeerTimeout)
	return question{to: to, sent: time.Now(), drops: c.tagDrops.Load()}
}

// withoutDeadline is the context of a flight without its deadline, for a request to a peer. The
// request ends with the flight anyway, and a timer for it on the owner would cost a tenth of a
// fetch.
type withoutDeadline struct{ context.Context }

// Deadline reports that there is none.
func (withoutDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }

// AfterFunc passes f on to the flight's context. Package context calls it instead of starting a
// goroutine.
func (r withoutDeadline) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(r.Context, f)
}

// takeAnswer returns the result of a peer's answer about a key: a value, which is kept as a copy
// for as long as it is fresh there, or the error that answers the fetch. Then hint is empty.
// Otherwise hint is the owner that the peer has named, or undelivered.
func (c *Cache[V]) takeAnswer(
	ctx context.Context, q question, got peer.Value, err error,
) (r hook.Loaded[V], hint string) {
	if err == nil {
		if r.Value, err = c.decodeValue(got.Data); err != nil {
			err = fmt.Errorf("decode the value: %w", err)
			err = &peer.UnavailableError{Node: q.to.Node, Reason: peer.Rubbish, Err: err}
		}
	}
	switch {
	case err != nil:
	case got.Keep < 0:
		r.Err = &hook.Answer{Err: &staleAnswer[V]{r.Value, q.drops}}
		return r, ""
	default:
		rest := got.Keep
		if rest != cache.Forever {
			rest = max(0, rest-q.took)
		}
		r.TTL, r.HasTTL = c.copyTTL(ctx, rest), true
		return r, ""
	}
	r.Err = err
	var down *peer.UnavailableError
	var elsewhere *peer.MisplacedError
	switch {
	case errors.As(err, new(*LoadError)):
		r.Err = &hook.Answer{Err: err}
		r.TTL, r.HasTTL = c.copyTTL(ctx, cache.Forever), true // of a missing record
		return r, ""
	case errors.As(err, &elsewhere):
		c.counters.misplaced.Add(1)
		hint = cmp.Or(elsewhere.Owner, undelivered)
	case errors.As(err, &down):
		c.counters.failures[down.Reason].Add(1)
		hint = undelivered
	default:
		hint = undelivered
	}
	if ctx.Err() != nil { // no caller waits any more
		hint = ""
	}
	return r, hint
}

// deliver makes r, which a peer has delivered, the result of the load of one key in ctx.
func (c *Cache[V]) deliver(ctx context.Context, r hook.Loaded[V]) (v V, delivered bool, err error) {
	if r.HasTTL {
		cache.StoreFor(ctx, r.TTL)
	}
	return r.Value, true, r.Err
}

// copyTTL returns how long to keep a copy that the load in ctx brings: for CopyTTL, but no longer
// than rest, which is how much longer its owner keeps it, and no longer than Load has said.
func (c *Cache[V]) copyTTL(ctx context.Context, rest time.Duration) time.Duration {
	ttl := min(c.o.CopyTTL, rest)
	if said, ok := cache.StoreTTL(ctx); ok {
		ttl = min(ttl, said)
	}
	return ttl
}

// awaitLocalLoad waits for a turn among MaxLocalLoads, first come, first served, for as long as a
// caller waits: the flight has no time-out from now on. The turn ends when it is released or the
// flight ends, so a stuck load holds it for its time-out only.
func (c *Cache[V]) awaitLocalLoad(ctx context.Context) (*turn, error) {
	courier.RestartTimeout(ctx, math.MaxInt64)
	if err := c.localLoads.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	p := c.localLoads.take()
	context.AfterFunc(ctx, p.release)
	return p, nil
}

// loadHere takes step 5: it loads a key that this node does not own. The value is kept for as long
// as an owner would keep it, and not for CopyTTL alone. So an owner that does not deliver costs
// each node one load per TTL, as without a cluster, and not one per CopyTTL. The flight's time-out
// is that of the load. load is c.load or, in a trial, c.callLoad.
func (c *Cache[V]) loadHere(
	ctx context.Context, key string, load func(context.Context, string) (V, error),
) (V, error) {
	c.counters.localLoads.Add(1)
	courier.RestartTimeout(ctx, 0)
	v, err := load(ctx, key)
	if c.o.CopyTTL < 0 {
		cache.StoreFor(ctx, 0)
	}
	return v, err
}

// load calls Load, or returns errSuspect if that may end this node.
func (c *Cache[V]) load(ctx context.Context, key string) (v V, err error) {
	if c.suspects(key) {
		return v, errSuspect
	}
	return c.callLoad(ctx, key)
}

// callLoad calls Load.
func (c *Cache[V]) callLoad(ctx context.Context, key string) (v V, err error) {
	if !courier.TakeTurn(ctx) {
		return v, context.Cause(ctx)
	}
	c.counters.loads.Add(1)
	done := false
	defer func() { // also after a panic or Goexit of Load
		if !done {
			c.counters.loadErrors.Add(1)
		}
	}()
	v, err = c.o.Load(ctx, key)
	done = !c.isFailure(err)
	return v, err
}

// A staleAnswer carries a stale value of an owner, as the error of the flight that asked. The value
// must not be stored, since the store could not tell it from a fresh copy, and it must not end a
// stale copy that is there. The owner gives it at once while its loads fail.
type staleAnswer[V any] struct { //nolint:errname // it carries a value
	value V
	drops uint64 // tagDrops when the owner was asked
}

func (*staleAnswer[V]) Error() string { return "cluster: the owner has only a stale value" }

// staleFrom returns the staleAnswer in err, and whether there is one.
func staleFrom[V any](err error) (s *staleAnswer[V], ok bool) {
	if err == nil {
		return nil, false
	}
	ok = errors.As(err, &s)
	return s, ok
}

// giveStale returns the value of s. It counts it unless err is nil: then the store gave, and
// counted, a value of its own.
func (c *Cache[V]) giveStale(s *staleAnswer[V], err error) V {
	if err != nil {
		c.counters.stale.Add(1)
	}
	return s.value
}

// callerError returns the error that a caller gets for err, an error of the store.
func callerError(err error) error {
	var a *hook.Answer
	if errors.As(err, &a) {
		return a.Err
	}
	return err
}
