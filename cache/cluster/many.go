package cluster

import (
	"context"
	"errors"
	"maps"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

// singleLoads bounds the keys that are loaded at a time for one FetchMany, or for one request of
// another node, without LoadMany.
const singleLoads = 64

// FetchMany returns the values of keys: those that this node has, and for the others those that
// their owners have or load. Each owner, this node included, loads what it lacks with one call of
// Options.LoadMany. It is asked with one request for up to 8,192 keys, and with more requests for
// more or very long keys. A Fetch or FetchMany of one of the keys, on whatever node, joins the
// owner's load. Without LoadMany, owners call Load for each key that they lack, for 64 at a time.
//
// An owner that does not deliver is waited for as by Fetch, once for all its keys, and delays no
// key of another owner. Then this node loads those keys itself. With LoadMany that counts once for
// Options.MaxLocalLoads. Without it, a quarter of MaxLocalLoads keys are loaded at a time, and at
// least one.
//
// The result has all values that could be had, stale ones too. A missing record is not in it, and
// is no error. err is nil or a *cache.ManyError[string], which has, for each key that failed, an
// error like Fetch's. FetchMany blocks as Fetch does; at the deadline of ctx it returns what is
// there. keys may repeat, and must not be changed meanwhile.
func (c *Cache[V]) FetchMany(ctx context.Context, keys []string) (map[string]V, error) {
	if c.localLoads.active.Load() > 0 {
		defer lendTurn(ctx)()
	}
	m := manyResult[V]{found: make(map[string]V, len(keys))}
	var fetches []func()
	for node, keys := range c.groupByOwner(keys, &m) {
		fetches = append(fetches, func() { m.add(keys, c.fetchGroup(ctx, node, keys)) })
	}
	inParallel(fetches)
	maps.DeleteFunc(m.failed, func(key string, _ error) bool { // given twice, and delivered once
		_, ok := m.found[key]
		return ok
	})
	if len(m.failed) > 0 {
		return m.found, &cache.ManyError[string]{ByKey: m.failed}
	}
	return m.found, nil
}

// A manyResult collects the values and errors of many keys.
type manyResult[V any] struct {
	mu     sync.Mutex // guards what follows, for add
	found  map[string]V
	failed map[string]error
}

// add notes the outcomes of some keys.
func (m *manyResult[V]) add(keys []string, outcomes []courier.Outcome[V]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, o := range outcomes {
		switch {
		case o.Err == nil:
			m.found[keys[i]] = o.Value
		case !errors.Is(o.Err, cache.ErrNotFound):
			m.fail(keys[i], o.Err)
		}
	}
}

// fail notes that a key has failed.
func (m *manyResult[V]) fail(key string, err error) {
	if m.failed == nil {
		m.failed = make(map[string]error)
	}
	m.failed[key] = err
}

// suspected stands for the owner of keys that must not be loaded in the usual way. It can't be a
// node's name.
const suspected = "\x00"

// groupByOwner returns the keys that have to be fetched, by owner, so that a slow owner delays no
// key of another. The other keys it notes in m: keys that are here, keys that are too long, and all
// keys once the cache is closed.
func (c *Cache[V]) groupByOwner(keys []string, m *manyResult[V]) map[string][]string {
	groups := make(map[string][]string)
	for i, key := range keys {
		switch {
		case len(key) > c.o.MaxKey:
			m.fail(key, &KeyError{Len: len(key), Max: c.o.MaxKey})
			continue
		case c.closed.Load(): // as in Fetch
			m.fail(key, ErrClosed)
			continue
		}
		if v, _, ok := c.entries.Hit(key, nil); ok {
			m.found[key] = v
			continue
		}
		node := suspected
		if !c.suspects(key) || c.store.Contains(key) {
			node = c.owners.Owner(key)
		}
		group := groups[node]
		if group == nil {
			group = make([]string, 0, len(keys)-i)
		}
		groups[node] = append(group, key)
	}
	return groups
}

// fetchGroup fetches keys of one owner.
func (c *Cache[V]) fetchGroup(
	ctx context.Context, node string, keys []string,
) []courier.Outcome[V] {
	fetch := func(key string) (V, error) { return c.Fetch(ctx, key) }
	if node == suspected || node == c.self && c.o.LoadMany == nil {
		return fetchSingly(keys, fetch)
	}
	load := func(ctx context.Context, keys []string, results []hook.Loaded[V]) {
		c.loadOrAskMany(ctx, node, keys, results)
	}
	var outcomes []courier.Outcome[V]
	if node == c.self {
		outcomes = c.fetchParts(ctx, keys, load)
	} else {
		outcomes = c.entries.FetchMany(ctx, keys, load)
	}
	var again []string
	var at []int // of again in keys
	for i := range outcomes {
		o := &outcomes[i]
		if o.Err == nil {
			continue
		}
		s, stale := staleFrom[V](o.Err)
		switch {
		case stale && s.drops == c.tagDrops.Load():
			o.Value, o.Err = c.giveStale(s, o.Err), nil
		case stale, isSuspect(o.Err): // as in Fetch
			again, at = append(again, keys[i]), append(at, i)
		default:
			o.Err = callerError(o.Err)
		}
	}
	for i, o := range fetchSingly(again, fetch) {
		outcomes[at[i]] = o
	}
	return outcomes
}

// fetchParts fetches keys in batches of at most MaxBatch.
func (c *Cache[V]) fetchParts(
	ctx context.Context, keys []string, load func(context.Context, []string, []hook.Loaded[V]),
) []courier.Outcome[V] {
	size := c.batchOf(len(keys))
	if size >= len(keys) {
		return c.entries.FetchMany(ctx, keys, load)
	}
	outcomes := make([]courier.Outcome[V], len(keys))
	var fetches []func()
	for at := 0; at < len(keys); at += size {
		part := keys[at:min(at+size, len(keys))]
		fetches = append(fetches, func() { copy(outcomes[at:], c.entries.FetchMany(ctx, part, load)) })
	}
	inParallel(fetches)
	return outcomes
}

// batchOf returns how many of n keys LoadMany gets at a time.
func (c *Cache[V]) batchOf(n int) int {
	if c.o.Cache.MaxBatch > 0 {
		return c.o.Cache.MaxBatch
	}
	return max(1, n)
}

// fetchSingly fetches each key in a flight of its own, singleLoads at a time.
func fetchSingly[V any](keys []string, fetch func(key string) (V, error)) []courier.Outcome[V] {
	outcomes := make([]courier.Outcome[V], len(keys))
	var loads errgroup.Group
	loads.SetLimit(singleLoads)
	for i, key := range keys {
		loads.Go(func() error {
			outcomes[i].Value, outcomes[i].Err = fetch(key)
			return nil
		})
	}
	_ = loads.Wait() // outcomes has the errors
	return outcomes
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
