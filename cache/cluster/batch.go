package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

// A batch is the state of one flight of FetchMany, which takes the steps of Fetch for several keys.
type batch[V any] struct {
	keys    []string
	results []hook.Loaded[V]
	next    []string // of each key: the node to ask, undelivered, or "" if it has its result
	asked   []askedPeer
}

// An askedPeer is one request of the batch: the indices of its keys, and when the answer came.
type askedPeer struct {
	keys     []int
	answered time.Time
}

// age shortens the TTLs of copies by the time since they came: they are stored when the whole batch
// has ended.
func (w *batch[V]) age() {
	for _, a := range w.asked {
		waited := time.Since(a.answered)
		for _, i := range a.keys {
			if r := &w.results[i]; w.next[i] == "" && r.HasTTL && r.TTL > 0 {
				r.TTL = max(0, r.TTL-waited)
			}
		}
	}
}

// loadOrAskMany is loadOrAsk for the keys of a batch, whose owner was node a moment ago. If that
// has changed, the asked node names the new owner.
func (c *Cache[V]) loadOrAskMany(
	ctx context.Context, node string, keys []string, results []hook.Loaded[V],
) {
	w := batch[V]{keys: keys, results: results, next: make([]string, len(keys))}
	own := node == c.self
	for i, key := range keys {
		w.next[i] = cmp.Or(node, undelivered)
		if node == c.self {
			w.next[i] = cmp.Or(c.owners.Owner(key), undelivered)
			own = own && w.next[i] == c.self
		}
	}
	if own {
		c.loadOwnMany(ctx, keys, results)
		return
	}
	c.askMany(ctx, &w)
	var rest []int
	for i, node := range w.next {
		if node != "" {
			rest = append(rest, i)
		}
	}
	if len(rest) > 0 {
		c.loadHereMany(ctx, &w, rest)
	}
	w.age()
}

// loadOwnMany takes step 2 for the keys of a batch, as loadOwn does for one.
func (c *Cache[V]) loadOwnMany(ctx context.Context, keys []string, results []hook.Loaded[V]) {
	c.entries.ThroughMany(ctx, keys, results, c.loadInTurn)
	for i, key := range keys {
		if c.owners.Owner(key) != c.self {
			results[i].TTL, results[i].HasTTL = c.copyTTL(ctx, cache.Forever), true
		}
	}
}

// loadInTurn calls LoadMany when it is the load's turn.
func (c *Cache[V]) loadInTurn(ctx context.Context, keys []string, results []hook.Loaded[V]) {
	if !courier.TakeTurn(ctx) {
		for i := range results {
			results[i].Err = context.Cause(ctx)
		}
		return
	}
	c.loadMany(ctx, keys, results)
}

// askMany takes steps 3 and 4 for the keys of a batch, as ask does for one.
func (c *Cache[V]) askMany(ctx context.Context, w *batch[V]) {
	defer c.asking.beginMany(w.keys)()
	for range 2 {
		byNode := make(map[string][]int)
		for i, node := range w.next {
			if node == "" || node == undelivered {
				continue
			}
			at := byNode[node]
			if at == nil {
				at = make([]int, 0, len(w.keys)-i)
			}
			byNode[node] = append(at, i)
		}
		var asks []func()
		for node, at := range byNode {
			k := len(w.asked)
			w.asked = append(w.asked, askedPeer{keys: at})
			asks = append(asks, func() {
				c.askNode(ctx, node, w, at)
				w.asked[k].answered = time.Now()
			})
		}
		inParallel(asks)
	}
}

// askNode asks one node for the keys at these indices.
func (c *Cache[V]) askNode(ctx context.Context, node string, w *batch[V], at []int) {
	to, ok := c.members.address(node)
	if !ok {
		for _, i := range at {
			w.next[i] = undelivered
		}
		return
	}
	asks := make([]peer.Ask, len(at))
	q := c.beginAsking(ctx, to, len(at))
	for j, i := range at {
		asks[j] = peer.Ask{Key: w.keys[i], After: c.deletes.After(to.Incarnation, w.keys[i])}
	}
	var last error
	outcomes := c.client.FetchMany(withoutDeadline{ctx}, to, asks)
	q.took = time.Since(q.sent)
	for j, o := range outcomes {
		i := at[j]
		suspect := c.witness(w.keys[i], false, to, o.Err)
		w.results[i], w.next[i] = c.takeAnswer(ctx, q, o.Value, o.Err)
		switch w.next[i] {
		case "":
			continue
		case node:
			w.next[i] = undelivered
		}
		last = w.results[i].Err
		if suspect {
			w.results[i].Err, w.next[i] = errSuspect, ""
		}
	}
	if last != nil {
		c.log.Debug("another node did not deliver all keys",
			"owner", node, "keys", len(at), "error", last)
	}
}

// loadHereMany takes step 5 for the keys at these indices, as loadHere does for one, and takes one
// turn for all. The loads run in flights of c.loads, so that their panics and time-outs do not end
// the flight whose other keys peers have delivered. No caller can join these flights.
func (c *Cache[V]) loadHereMany(ctx context.Context, w *batch[V], at []int) {
	p, err := c.awaitLocalLoad(ctx)
	if err != nil {
		for _, i := range at {
			w.results[i].Err = err
		}
		return
	}
	defer p.release()
	defer c.announceMany(ctx, w.keys, at)()
	c.counters.localLoads.Add(uint64(len(at)))
	if c.o.LoadMany == nil {
		c.loadHereSingly(ctx, p, w, at)
		return
	}
	for part := range slices.Chunk(at, c.batchOf(len(at))) {
		ctx := c.entries.Apart(p.with(ctx))
		flights := make([]*flightKey, len(part))
		for j, i := range part {
			flights[j] = &flightKey{w.keys[i]}
		}
		outcomes := c.loads.DoMany(ctx, flights, c.outcomesOf)
		ttl := c.localTTL(ctx)
		for j, o := range outcomes {
			w.results[part[j]] = hook.Loaded[V]{Value: o.Value, Err: o.Err, TTL: ttl, HasTTL: true}
		}
	}
}

// A flightKey is the key of a flight that nobody joins: it equals no other one.
type flightKey struct{ key string }

// String returns the key.
func (k *flightKey) String() string { return k.key }

// outcomesOf calls LoadMany in a flight of c.loads.
func (c *Cache[V]) outcomesOf(
	ctx context.Context, flights []*flightKey,
) ([]courier.Outcome[V], error) { //nolint:unparam // for DoMany
	keys := make([]string, len(flights))
	for i, f := range flights {
		keys[i] = f.key
	}
	results := make([]hook.Loaded[V], len(keys))
	c.loadMany(ctx, keys, results)
	outcomes := make([]courier.Outcome[V], len(keys))
	for i, r := range results {
		outcomes[i].Value, outcomes[i].Err = r.Value, r.Err
	}
	return outcomes, nil
}

// loadHereSingly does the work of loadHereMany without LoadMany. It takes more turns of
// MaxLocalLoads if they are free.
func (c *Cache[V]) loadHereSingly(ctx context.Context, p *turn, w *batch[V], at []int) {
	next := make(chan int, len(at))
	for _, i := range at {
		next <- i
	}
	close(next)
	work := func(p *turn) {
		for i := range next {
			key, one := w.keys[i], c.entries.Apart(p.with(ctx))
			v, _, err := c.loads.Do(one, &flightKey{key}, func(ctx context.Context) (V, error) {
				return c.load(ctx, key)
			})
			w.results[i] = hook.Loaded[V]{Value: v, Err: err, TTL: c.localTTL(one), HasTTL: true}
		}
	}
	workers := []func(){func() { work(p) }}
	for len(workers) < min(len(at), c.o.MaxLocalLoads/4) && c.localLoads.TryAcquire(1) {
		workers = append(workers, func() {
			p := c.localLoads.take()
			defer p.release()
			work(p)
		})
	}
	inParallel(workers)
}

// localTTL returns how long to keep what the load in ctx, in place of an owner, has returned.
func (c *Cache[V]) localTTL(ctx context.Context) time.Duration {
	if c.o.CopyTTL < 0 {
		return 0
	}
	ttl, _ := cache.StoreTTL(ctx)
	return ttl
}

// loadMany calls LoadMany for the keys that are not suspect. The others get errSuspect.
func (c *Cache[V]) loadMany(ctx context.Context, keys []string, results []hook.Loaded[V]) {
	if c.quarantine.Empty() {
		c.callLoadMany(ctx, keys, results)
		return
	}
	var innocent []string
	var at []int // of innocent in keys
	for i, key := range keys {
		if c.suspects(key) {
			results[i].Err = errSuspect
		} else {
			innocent, at = append(innocent, key), append(at, i)
		}
	}
	if len(innocent) == 0 {
		return
	}
	loaded := make([]hook.Loaded[V], len(innocent))
	c.callLoadMany(ctx, innocent, loaded)
	for j, i := range at {
		results[i] = loaded[j]
	}
}

// callLoadMany calls LoadMany. Keys in its answer that it was not asked for are ignored, since this
// node may not own them.
func (c *Cache[V]) callLoadMany(ctx context.Context, keys []string, results []hook.Loaded[V]) {
	c.counters.loads.Add(uint64(len(keys)))
	failures := len(keys)
	defer func() { // also after a panic or Goexit of LoadMany
		c.counters.loadErrors.Add(uint64(failures)) //nolint:gosec // not negative
	}()
	values, err := c.o.LoadMany(ctx, slices.Clone(keys)) // it may sort them, or keep them
	c.entries.Spread(keys, values, err, results)
	failures = 0
	for i := range results {
		if c.isFailure(results[i].Err) {
			failures++
		}
	}
}
