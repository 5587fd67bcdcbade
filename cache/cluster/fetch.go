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

// Fetch returns the value of key: the one that this node has or, if there is none, what its owner
// has or loads. Callers who miss a key at the same time, on whatever node, share one call of Load,
// as long as the nodes see each other.
//
// Fetch blocks until the value is there, the load has failed, or ctx has ended. An owner that is
// silent for Options.PeerTimeout, or does not deliver for another reason, is not waited for: this
// node calls Load itself then.
//
// If the load fails or is late, Fetch returns a stale value, where there is one: see StaleFor of
// Options.Cache. It may be the owner's, or one that this node kept. Fetch does not say that a
// value is stale; Stats.Stale counts them.
//
// err is a [*LoadError] if Load failed on another node, and what cache.Cache.Fetch says if it was
// called on this one. It is a [*KeyError] if the key is too long, ErrClosed, or the cause of ctx.
// It matches cache.ErrNotFound if there is no record, wherever Load ran.
func (c *Cache[V]) Fetch(ctx context.Context, key string) (V, error) {
	switch {
	case len(key) > c.o.MaxKey:
		return *new(V), &KeyError{Len: len(key), Max: c.o.MaxKey}
	case c.closed.Load(): // the others don't wait for this node any more with a Delete
		return *new(V), ErrClosed
	}
	if c.localLoads.taken.Load() > 0 {
		return c.fetchLendingTurn(ctx, key)
	}
	v, instead, err := c.entries.Fetch(ctx, key, c.loadOrAskFn)
	if err == nil && instead == nil {
		return v, nil
	}
	return c.interpret(ctx, key, v, instead, err)
}

// fetchLending is the rest of Fetch while there are loads in place of owners, which may call Fetch
// themselves. Like interpret it is no part of Fetch, which is to need little stack: callers may be
// new goroutines, and to give a hundred of them a larger one takes longer than a fetch.
//
//go:noinline
func (c *Cache[V]) fetchLendingTurn(ctx context.Context, key string) (V, error) {
	if !c.store.Contains(key) {
		defer lendTurn(ctx)()
	}
	v, instead, err := c.entries.Fetch(ctx, key, c.loadOrAskFn)
	return c.interpret(ctx, key, v, instead, err)
}

// interpret returns what Fetch returns for a result of the store, and tries it again if it has to.
//
//go:noinline
func (c *Cache[V]) interpret(
	ctx context.Context, key string, v V, instead, err error,
) (V, error) {
	for tries := 1; ; tries++ {
		if isSuspect(err) {
			// The flight was one that serves another node: the next one may walk.
			if err := waitFor(ctx, nil, time.Millisecond); err != nil {
				return v, err
			}
		} else {
			s, ok := staleFrom[V](errors.Join(err, instead))
			if !ok {
				return v, callerError(err)
			}
			// If a tag was invalidated since the owner was asked, the flight may have begun before
			// this call. The next one has not.
			if s.drops == c.tagDrops.Load() || tries > 1 {
				return c.giveStale(s, err), nil
			}
		}
		if v, instead, err = c.entries.Fetch(ctx, key, c.loadOrAskFn); err == nil && instead == nil {
			return v, nil
		}
	}
}

// Get returns the fresh value of key if this node has it, its own or a copy. It does not block.
func (c *Cache[V]) Get(key string) (V, bool) {
	if c.closed.Load() {
		return *new(V), false
	}
	return c.store.Get(key)
}

// walk runs in the flights of the store: it is the steps of the package's comment, and what stands
// in their place while a load of key may end the node that runs it.
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

// steps is steps 1 to 5. Its error is errSuspect where they end at step 0: key is not to be loaded
// in the usual way, as was known or has turned out.
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

// loadOwn is step 2. Flights that serve other nodes run it alone, so that they never wait for a
// third node.
func (c *Cache[V]) loadOwn(ctx context.Context, key string) (V, error) {
	v, err := c.load(ctx, key)
	if c.owners.Owner(key) != c.self { // ownership was lost meanwhile
		cache.StoreFor(ctx, c.copyTTL(ctx, cache.Forever))
	}
	return v, err
}

// ask is steps 3 and 4. If delivered is false, the key is to be loaded here.
//
// No request is forwarded: a node that does not own what it is asked for says which does, as far as
// it knows, and that one is asked too; then it ends. So views of the cluster that differ cost a
// load, but can't send a request in a circle.
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
		got, err := c.client.Fetch(request{ctx}, to, key, c.deletes.After(to.Incarnation, key))
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

// undelivered is the hint of take for a key that is to be loaded here. It can't be a node's name.
const undelivered = "\x00"

// A question is what has to be known of a request to make use of its answer.
type question struct {
	to    peer.Address
	sent  time.Time
	drops uint64        // tagDrops then
	took  time.Duration // until the answer was there
}

// beginAsking is called before another node is asked for some keys. What that does has a time-out
// of its own, so the flight gets its time anew, and more for the way.
func (c *Cache[V]) beginAsking(ctx context.Context, to peer.Address, keys int) question {
	c.counters.asked.Add(uint64(keys)) //nolint:gosec // not negative
	courier.RestartTimeout(ctx, c.o.PeerTimeout)
	return question{to: to, sent: time.Now(), drops: c.tagDrops.Load()}
}

// A request is the context of a flight without its deadline: the request ends with the flight, and
// to have the owner keep a timer for it as well would cost a tenth of a fetch.
type request struct{ context.Context }

// Deadline returns none.
func (request) Deadline() (time.Time, bool) { return time.Time{}, false }

// AfterFunc calls the flight's. Package context uses it instead of a goroutine.
func (r request) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(r.Context, f) }

// take returns what a node has answered that was asked for a key: a value, which is kept as a copy
// for as long as it is fresh there, or the error that is the answer. hint is empty then; otherwise
// it is the owner that the node has named, or undelivered.
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
		r.TTL, r.HasTTL = c.copyTTL(ctx, cache.Forever), true // of a record that is not there
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
	if ctx.Err() != nil { // nobody waits any more
		hint = ""
	}
	return r, hint
}

// keep makes r the result of the load of one key in ctx, which another node has delivered.
func (c *Cache[V]) deliver(ctx context.Context, r hook.Loaded[V]) (v V, delivered bool, err error) {
	if r.HasTTL {
		cache.StoreFor(ctx, r.TTL)
	}
	return r.Value, true, r.Err
}

// copyTTL returns how long a copy is kept which the load in ctx brings: for CopyTTL, for rest,
// which is how much longer its owner keeps it, and no longer than Load has said.
func (c *Cache[V]) copyTTL(ctx context.Context, rest time.Duration) time.Duration {
	ttl := min(c.o.CopyTTL, rest)
	if said, ok := cache.StoreTTL(ctx); ok {
		ttl = min(ttl, said)
	}
	return ttl
}

// awaitLocalLoad waits for one of the MaxLocalLoads places, in order, for as long as a caller does:
// the flight has no time-out from now on. The place is free again when it is released or the flight
// ends, so a load that is stuck holds it for its time-out only.
func (c *Cache[V]) awaitLocalLoad(ctx context.Context) (*turn, error) {
	courier.RestartTimeout(ctx, math.MaxInt64)
	if err := c.localLoads.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	p := c.localLoads.take()
	context.AfterFunc(ctx, p.release)
	return p, nil
}

// loadHere is step 5: it loads a key that another node owns, or none. What it gets is kept as long
// as an owner would keep it, and not for CopyTTL alone: so an owner that does not deliver costs
// each node one load, as without a cluster, and not one every CopyTTL. The flight's time-out is
// that of the load. load is c.load or, in a trial, c.callLoad.
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

// load calls Load, unless that may end this node.
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

// A staleAnswer is a stale value that an owner has given, as the error of the flight that asked:
// the value must not be stored, where it could not be told from a fresh copy, nor end a stale copy
// that is there. The owner gives it at once as long as its loads fail.
type staleAnswer[V any] struct { //nolint:errname // it is no failure
	value V
	drops uint64 // tagDrops when the owner was asked
}

func (*staleAnswer[V]) Error() string { return "cluster: the owner has only a stale value" }

// staleFrom returns the staleAnswer in err, if any.
func staleFrom[V any](err error) (s *staleAnswer[V], ok bool) {
	if err == nil {
		return nil, false
	}
	ok = errors.As(err, &s)
	return s, ok
}

// giveStale returns the value of s, and counts it unless the store has counted one in its place,
// which it has if it returned no error.
func (c *Cache[V]) giveStale(s *staleAnswer[V], err error) V {
	if err != nil {
		c.counters.stale.Add(1)
	}
	return s.value
}

// told returns the error that a caller gets for one of the store.
func callerError(err error) error {
	var a *hook.Answer
	if errors.As(err, &a) {
		return a.Err
	}
	return err
}
