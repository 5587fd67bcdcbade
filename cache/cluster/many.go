package cluster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/courier"
)

// singleLoads bounds how many keys are loaded at a time for one FetchMany, or for one request of
// another node, where there is no LoadMany.
const singleLoads = 64

// FetchMany returns the values of keys: those that this node has, and for the others what their
// owners have or load. Each owner, this node included, loads what it lacks with one call of
// Options.LoadMany, and is asked with one request (for up to 8,192 keys, or some more if they are
// many or long). A Fetch or FetchMany of one of the keys, on whatever node, joins the load of the
// owner. Without LoadMany, owners call Load for each key that they lack, for 64 at a time.
//
// An owner that does not deliver is waited for as by Fetch, once for all its keys, and delays no
// key of others. This node loads those keys itself then, and counts once for Options.MaxLocalLoads
// if it does so with LoadMany; without that, it loads as many of them at a time as a quarter of
// MaxLocalLoads, at least one.
//
// The result has all values that could be had, stale ones too. A key that has no record is missing
// from it, which is no error. err is nil or a *cache.ManyError[string], which has an error as that
// of Fetch for each key that failed. FetchMany blocks as Fetch does; at the deadline of ctx it
// returns what is there. keys may repeat, and must not change meanwhile.
func (c *Cache[V]) FetchMany(ctx context.Context, keys []string) (map[string]V, error) {
	if c.localLoads.taken.Load() > 0 {
		defer lendPlace(ctx)()
	}
	m := &manyResult[V]{}
	c.fetchGroups(ctx, c.groupByOwner(keys, m), m)
	return m.result()
}

// A manyResult collects what becomes of many keys.
type manyResult[V any] struct {
	serving bool // another node, so that no third one is asked

	mu     sync.Mutex // guards what follows
	found  map[string]V
	failed map[string]error
}

// end notes what has become of a key. That there is no record is nothing.
func (m *manyResult[V]) end(key string, v V, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil && m.found == nil:
		m.found = map[string]V{key: v}
	case err == nil:
		m.found[key] = v
	case errors.Is(err, cache.ErrNotFound):
	case m.failed == nil:
		m.failed = map[string]error{key: err}
	default:
		m.failed[key] = err
	}
}

// add notes the values of several keys, which have come without an error. It may keep values.
func (m *manyResult[V]) add(values map[string]V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found == nil {
		m.found = values
	} else {
		maps.Copy(m.found, values)
	}
}

// result returns what FetchMany returns.
func (m *manyResult[V]) result() (map[string]V, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found == nil {
		m.found = make(map[string]V)
	}
	if len(m.failed) > 0 {
		return m.found, &cache.ManyError[string]{ByKey: m.failed}
	}
	return m.found, nil
}

// suspected stands for the owner of keys that are not to be loaded in the usual way. It can't be a
// node's name.
const suspected = "\x00"

// groupByOwner sorts keys by the node that they are to be had of, so that an owner that is slow
// delays no key of others. It is this node for those that it has, unless they may have to be
// refreshed. Keys that are too long end in m, and all keys once the cache is closed.
func (c *Cache[V]) groupByOwner(keys []string, m *manyResult[V]) map[string][]string {
	groups := make(map[string][]string)
	for _, key := range keys {
		node := c.self
		switch {
		case len(key) > c.o.MaxKey:
			m.end(key, *new(V), &KeyError{Len: len(key), Max: c.o.MaxKey})
			continue
		case c.closed.Load(): // as in Fetch
			m.end(key, *new(V), ErrClosed)
			continue
		case c.store.Contains(key):
			if c.o.Cache.RefreshAt > 0 { // it may be due
				node = c.units.Owner(key)
			}
		case c.suspects(key):
			node = suspected
		default:
			node = c.units.Owner(key)
		}
		groups[node] = append(groups[node], key)
	}
	return groups
}

// fetchGroups fetches all groups at the same time.
func (c *Cache[V]) fetchGroups(ctx context.Context, groups map[string][]string, m *manyResult[V]) {
	var fetches []func()
	for node, keys := range groups {
		switch {
		case node != c.self && node != suspected:
			fetches = append(fetches, func() { c.fetchGroup(ctx, keys, c.walkManyTo(node), m) })
		case c.o.LoadMany == nil, node == suspected:
			fetches = append(fetches, func() { c.fetchSingly(keys, m, func(key string) (V, error) { return c.Fetch(ctx, key) }) })
		default:
			fetches = append(fetches, func() { c.fetchParts(ctx, keys, c.walkManyFn, m) })
		}
	}
	inParallel(fetches)
}

// fetchParts fetches keys in flights of batches that are no larger than MaxBatch.
func (c *Cache[V]) fetchParts(
	ctx context.Context, keys []string, load func(context.Context, []string) (map[string]V, error),
	m *manyResult[V],
) {
	var fetches []func()
	for part := range slices.Chunk(keys, c.batchOf(len(keys))) {
		fetches = append(fetches, func() { c.fetchGroup(ctx, part, load, m) })
	}
	inParallel(fetches)
}

// batchOf returns how many of n keys LoadMany gets at most.
func (c *Cache[V]) batchOf(n int) int {
	if c.o.Cache.MaxBatch > 0 {
		return c.o.Cache.MaxBatch
	}
	return max(1, n)
}

// fetchGroup fetches keys in flights of one batch.
func (c *Cache[V]) fetchGroup(
	ctx context.Context, keys []string, load func(context.Context, []string) (map[string]V, error),
	m *manyResult[V],
) {
	values, err := c.store.FetchMany(ctx, keys, load)
	if err == nil {
		m.add(values)
		return
	}
	failed := errorsByKey(keys, err)
	var suspects []string
	for _, key := range keys {
		v, ok := values[key]
		err := failed[key]
		switch s, stale := staleFrom[V](err); {
		case ok:
		case stale && s.drops == c.tagDrops.Load():
			v, err = c.giveStale(s, err), nil
		case stale:
			v, err = c.Fetch(ctx, key) // as Fetch does
		case isSuspect(err) && !m.serving:
			suspects = append(suspects, key)
			continue
		case err == nil:
			err = cache.ErrNotFound
		default:
			err = told(err)
		}
		m.end(key, v, err)
	}
	if len(suspects) > 0 {
		c.fetchSingly(suspects, m, func(key string) (V, error) { return c.Fetch(ctx, key) })
	}
}

// fetchSingly fetches keys in flights of their own, some at a time.
func (c *Cache[V]) fetchSingly(
	keys []string, m *manyResult[V], fetch func(key string) (V, error),
) {
	var loads errgroup.Group
	loads.SetLimit(singleLoads)
	for _, key := range keys {
		one := func() error {
			v, err := fetch(key)
			m.end(key, v, err)
			return nil
		}
		if c.store.Contains(key) {
			_ = one() // a hit does not block
		} else {
			loads.Go(one)
		}
	}
	_ = loads.Wait() // m has the errors
}

// errorsByKey returns the error of each key of a FetchMany that has returned err.
func errorsByKey(keys []string, err error) map[string]error {
	if err == nil {
		return nil
	}
	var byKey *cache.ManyError[string]
	if errors.As(err, &byKey) {
		return byKey.ByKey
	}
	failed := make(map[string]error, len(keys))
	for _, key := range keys {
		failed[key] = err
	}
	return failed
}

// walkManyTo returns walkMany for keys whose owner was node a moment ago. If that has changed
// since, node says so.
func (c *Cache[V]) walkManyTo(node string) func(context.Context, []string) (map[string]V, error) {
	return func(ctx context.Context, keys []string) (map[string]V, error) {
		return c.askOrLoadMany(ctx, map[string][]string{node: keys})
	}
}

// walkMany is walk for the keys of a batch, which have one owner, unless that has just changed.
func (c *Cache[V]) walkMany(ctx context.Context, keys []string) (map[string]V, error) {
	byNode := make(map[string][]string)
	for _, key := range keys {
		node := c.units.Owner(key)
		byNode[node] = append(byNode[node], key)
	}
	if len(byNode[c.self]) == len(keys) {
		return c.loadOwnMany(ctx, keys)
	}
	return c.askOrLoadMany(ctx, byNode)
}

// askOrLoadMany is steps 3 to 5 for the keys of a batch, by owner.
func (c *Cache[V]) askOrLoadMany(ctx context.Context, byNode map[string][]string) (map[string]V, error) {
	m := &manyResult[V]{}
	for _, keys := range byNode {
		m.found = make(map[string]V, len(keys)) // of all, but in rare cases
	}
	if rest := c.askMany(ctx, byNode, m); len(rest) > 0 {
		c.loadHereMany(ctx, rest, m)
	}
	return m.result()
}

// loadOwnMany is loadOwn for the keys of a batch.
func (c *Cache[V]) loadOwnMany(ctx context.Context, keys []string) (map[string]V, error) {
	if !courier.TakeTurn(ctx) {
		return nil, context.Cause(ctx)
	}
	values, err := c.loadMany(ctx, keys)
	for _, key := range keys {
		if c.units.Owner(key) != c.self {
			c.keepCopy(ctx, key, cache.Forever)
		}
	}
	return values, err
}

// askMany is ask for the keys of a batch, by owner. Nodes are asked at the same time. It returns
// the keys that are to be loaded here.
func (c *Cache[V]) askMany(
	ctx context.Context, byNode map[string][]string, m *manyResult[V],
) (rest []string) {
	for _, keys := range byNode {
		c.asking.begin(keys...)
	}
	defer func() {
		for _, keys := range byNode {
			c.asking.end(keys...)
		}
	}()
	hinted := make(map[string][]string) // by the node that another one has named
	var mu sync.Mutex                   // guards hinted and rest
	ask := func(byNode map[string][]string) {
		var groups []func()
		for node, keys := range byNode {
			groups = append(groups, func() {
				hints := c.askNodeMany(ctx, node, keys, m)
				mu.Lock()
				defer mu.Unlock()
				for i, hint := range hints {
					switch hint {
					case "":
					case undelivered, node:
						rest = append(rest, keys[i])
					default:
						hinted[hint] = append(hinted[hint], keys[i])
					}
				}
			})
		}
		inParallel(groups)
	}
	ask(byNode)
	second := hinted
	hinted = make(map[string][]string)
	ask(second)
	for _, keys := range hinted { // a hint is followed once
		rest = append(rest, keys...)
	}
	return rest
}

// askNodeMany asks one node for keys. Answers are put into m, and the others are told by a hint for
// each key: see take.
func (c *Cache[V]) askNodeMany(
	ctx context.Context, node string, keys []string, m *manyResult[V],
) []string {
	hints := make([]string, len(keys))
	to, ok := c.members.address(node)
	if !ok {
		for i := range hints {
			hints[i] = undelivered
		}
		return hints
	}
	asks := make([]peer.Ask, len(keys))
	for i, key := range keys {
		asks[i] = peer.Ask{Key: key, After: c.deletes.After(to.Run, key)}
	}
	began := c.beginAsking(ctx, len(keys))
	var last error
	for i, o := range c.client.FetchMany(request{ctx}, to, asks) {
		suspect := c.witness(keys[i], false, to, o.Err)
		v, hint, err := c.take(ctx, keys[i], began, to, o.Value, o.Err)
		if suspect && hint != "" {
			hint, err = "", errSuspect
		}
		if hints[i] = hint; hint == "" {
			m.end(keys[i], v, err)
		} else {
			last = err
		}
	}
	if last != nil {
		c.log.Debug("another node did not deliver all keys", "owner", node, "keys", len(keys), "error", last)
	}
	return hints
}

// loadHereMany is loadHere for keys of a batch, and counts as one. It runs in flights of its own,
// in c.loads, so that whatever becomes of them the keys that others have delivered have their
// values. Nobody else can join these.
func (c *Cache[V]) loadHereMany(ctx context.Context, keys []string, m *manyResult[V]) {
	if c.o.CopyTTL < 0 {
		for _, key := range keys {
			c.keepCopy(ctx, key, 0)
		}
	}
	p, err := c.awaitLocalLoad(ctx)
	if err != nil {
		for _, key := range keys {
			m.end(key, *new(V), err)
		}
		return
	}
	defer p.release()
	defer c.announceMany(ctx, keys)()
	c.counters.localLoads.Add(uint64(len(keys)))
	if c.o.LoadMany == nil {
		c.loadHereSingly(ctx, p, keys, m)
		return
	}
	ctx = p.with(ctx)
	for part := range slices.Chunk(keys, c.batchOf(len(keys))) {
		flights := make([]*flightKey, len(part))
		for i, key := range part {
			flights[i] = &flightKey{key}
		}
		for i, o := range c.loads.DoMany(ctx, flights, c.outcomesOf) {
			m.end(part[i], o.Value, o.Err)
		}
	}
}

// A flightKey is the key of a flight that is joined by nobody: it equals no other one.
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
	values, err := c.loadMany(ctx, keys)
	failed := errorsByKey(keys, err)
	outcomes := make([]courier.Outcome[V], len(keys))
	for i, key := range keys {
		v, ok := values[key]
		if outcomes[i].Value, outcomes[i].Err = v, failed[key]; !ok && outcomes[i].Err == nil {
			outcomes[i].Err = cache.ErrNotFound
		}
	}
	return outcomes, nil
}

// loadHereSingly is loadHereMany without LoadMany. It takes some more of the MaxLocalLoads places
// where they are free.
func (c *Cache[V]) loadHereSingly(ctx context.Context, p *place, keys []string, m *manyResult[V]) {
	next := make(chan string, len(keys))
	for _, key := range keys {
		next <- key
	}
	close(next)
	work := func(p *place) {
		ctx := p.with(ctx)
		for key := range next {
			one, stored := c.entries.ForKey(ctx, key)
			v, _, err := c.loads.Do(one, &flightKey{key}, func(ctx context.Context) (V, error) {
				return c.load(ctx, key)
			})
			if c.o.CopyTTL >= 0 {
				stored()
			}
			m.end(key, v, err)
		}
	}
	workers := []func(){func() { work(p) }}
	for len(workers) < min(len(keys), c.o.MaxLocalLoads/4) && c.localLoads.TryAcquire(1) {
		workers = append(workers, func() {
			p := c.localLoads.take()
			defer p.release()
			work(p)
		})
	}
	inParallel(workers)
}

// sortOut returns which of keys may be loaded in the usual way, and which not.
func (c *Cache[V]) sortOut(keys []string) (innocent, suspects []string) {
	if c.quarantine.Empty() {
		return keys, nil
	}
	for _, key := range keys {
		if c.suspects(key) {
			suspects = append(suspects, key)
		} else {
			innocent = append(innocent, key)
		}
	}
	return innocent, suspects
}

// loadMany calls LoadMany for the keys that may be loaded in the usual way. Keys in its answer that
// were not asked for are left out, since this node may not own them.
func (c *Cache[V]) loadMany(ctx context.Context, keys []string) (map[string]V, error) {
	innocent, suspects := c.sortOut(keys)
	if len(suspects) == 0 {
		return c.callLoadMany(ctx, keys)
	}
	var values map[string]V
	failed := make(map[string]error)
	if len(innocent) > 0 {
		var err error
		values, err = c.callLoadMany(ctx, innocent)
		maps.Copy(failed, errorsByKey(innocent, err))
	}
	for _, key := range suspects {
		failed[key] = errSuspect
	}
	return values, &cache.ManyError[string]{ByKey: failed}
}

// callLoadMany calls LoadMany.
func (c *Cache[V]) callLoadMany(ctx context.Context, keys []string) (map[string]V, error) {
	c.counters.loads.Add(uint64(len(keys)))
	failures := len(keys)
	defer func() { // also after a panic or Goexit of LoadMany
		c.counters.loadErrors.Add(uint64(failures)) //nolint:gosec // not negative
	}()
	all, err := c.o.LoadMany(ctx, keys)
	failed := errorsByKey(keys, err)
	values := make(map[string]V, len(keys))
	failures = 0
	for _, key := range keys {
		if v, ok := all[key]; ok && failed[key] == nil {
			values[key] = v
		}
		if c.isFailure(failed[key]) {
			failures++
		}
	}
	return values, err
}

// inParallel calls all functions at the same time, and returns when all have ended. If one of them
// panics, so does inParallel.
func inParallel(functions []func()) {
	if len(functions) == 0 {
		return
	}
	var mu sync.Mutex // guards panicked
	var panicked any
	var others sync.WaitGroup
	for _, f := range functions[1:] {
		others.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					mu.Lock()
					defer mu.Unlock()
					panicked = p
				}
			}()
			f()
		})
	}
	defer func() {
		others.Wait()
		if panicked != nil {
			panic(panicked)
		}
	}()
	functions[0]()
}
