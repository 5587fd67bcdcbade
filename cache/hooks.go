package cache

import (
	"context"
	"slices"
	"time"
	"unsafe"

	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

// access makes a Cache an argument of hook.Of. By this name the embedded field is not exported.
type access = hook.Access

// hooks implements hook.Store for a cache.
type hooks[K comparable, V any] struct{ *Cache[K, V] }

func (h hooks[K, V]) OnChange(f func(K)) { h.onChange = f }

func (h hooks[K, V]) Fetch(
	ctx context.Context, key K, fetch func(context.Context, K) (V, error),
) (value V, instead, err error) {
	if e := h.lookup(key); e != nil {
		if h.refreshAt > 0 {
			h.refresh(ctx, e, fetch)
		}
		return e.value, nil, nil
	}
	if h.arrivals { // miss needs so much stack that the first one of a goroutine would grow
		return h.missResult(ctx, key, fetch)
	}
	value, _, err = h.courier.Do(ctx, key, h.flight(key, fetch))
	return value, nil, err
}

// missResult calls miss. It is a function apart for the stack of Fetch.
//
//go:noinline
func (h hooks[K, V]) missResult(
	ctx context.Context, key K, fetch func(context.Context, K) (V, error),
) (value V, instead, err error) {
	r, err := h.miss(ctx, key, fetch, 0)
	return r.Value, r.Err, err
}

func (h hooks[K, V]) Weight(key K) (weight uint32, ok bool) {
	s, hash := h.shardOf(key)
	if e := s.index.find(hash, key); e != nil && !h.gone(e) {
		return e.Weight, true
	}
	return 0, false
}

func (h hooks[K, V]) Evict(key K) {
	s, hash := h.shardOf(key)
	var out evicted[K, V]
	s.mu.Lock()
	if e := s.index.find(hash, key); e != nil {
		h.endEvicted(s, e)
		h.remove(s, e, h.reasonFor(e, ReasonSize), &out)
	}
	s.mu.Unlock()
	h.notify(out)
}

func (h hooks[K, V]) Shorten(key K, ttl time.Duration) {
	s, hash := h.shardOf(key)
	var p placed[K, V]
	var e *entry[K, V]
	s.mu.Lock()
	now := h.clock.now()
	switch old := h.fresh(s, hash, key); {
	case old == nil || old.expiry() <= addTime(now, ttl):
	case ttl <= 0:
		h.end(s, old, ReasonExpired, &p.out)
	default:
		e = h.renew(s, old, addTime(now, ttl), &p)
	}
	s.mu.Unlock()
	if e != nil {
		h.settle(s, e, &p)
	} else {
		h.notify(p.out)
	}
}

func (h hooks[K, V]) Hit(key K, now *int64) (value V, ttl time.Duration, ok bool) {
	s, hash := h.shardOf(key)
	e := h.fresh(s, hash, key)
	if e == nil {
		return value, 0, false
	}
	if h.refreshAt > 0 {
		if _, due := h.dueAt(e); due {
			return value, 0, false
		}
	}
	stripe := h.stripes.local() // as lookup: a function for both would cost each hit a call
	if n := stripe.hits.Add(1); n%lookEvery == 0 {
		h.look(s, e, stripe, n)
	}
	s.touch(e)
	switch expires := e.expiry(); {
	case now == nil:
	case expires == never:
		ttl = Forever
	default:
		if *now == 0 {
			*now = h.clock.now()
		}
		ttl = max(1, time.Duration(expires-*now)) // as Peek
	}
	return e.value, ttl, true
}

func (h hooks[K, V]) FetchMany(
	ctx context.Context, keys []K, load func(context.Context, []K, []hook.Loaded[V]),
) []courier.Outcome[V] {
	m := many[K, V]{h.Cache, func(ctx context.Context, b *batch[K, V]) {
		load(ctx, b.keys, b.results)
	}}
	if h.refreshAt == 0 {
		h.stripes.local().misses.Add(uint64(len(keys)))
		return m.load(ctx, keys)
	}
	outcomes := make([]courier.Outcome[V], len(keys))
	var missing []K
	var at []int // of missing in keys
	var due []*entry[K, V]
	for i, key := range keys {
		e := h.lookup(key)
		if e == nil {
			missing, at = append(missing, key), append(at, i)
			continue
		}
		outcomes[i].Value = e.value
		if h.due(e) {
			due = append(due, e)
		}
	}
	m.refresh(ctx, due)
	for i, o := range m.load(ctx, missing) {
		outcomes[at[i]] = o
	}
	return outcomes
}

func (h hooks[K, V]) TakeSecondLevel(confirmed func(keys []K, tags []string)) bool {
	s := h.second
	if s == nil {
		return false
	}
	s.manual, s.pending.confirmed = true, confirmed
	if s.unwatch != nil {
		s.unwatch()
		s.unwatch = nil
	}
	return true
}

func (h hooks[K, V]) Through(
	ctx context.Context, key K, fetch func(context.Context, K) (V, error),
) (V, error) {
	if l, ok := ctx.Value(loadKey{}).(*loadState); ok {
		if g, ok := l.second.(*grant[K, V]); ok && g.load != nil && g.load.key == key {
			return h.second.through(ctx, g, fetch)
		}
	}
	return fetch(ctx, key)
}

func (h hooks[K, V]) ThroughMany(
	ctx context.Context, keys []K, results []hook.Loaded[V],
	fetch func(context.Context, []K, []hook.Loaded[V]),
) {
	if l, ok := ctx.Value(loadKey{}).(*loadState); ok {
		g, ok := l.second.(*grant[K, V])
		if ok && g.batch != nil && slices.Equal(g.batch.keys, keys) {
			h.second.throughMany(ctx, g.batch, results, fetch)
			return
		}
	}
	fetch(ctx, keys, results)
}

func (h hooks[K, V]) RemoveSecond(ctx context.Context, keys []K, tags []string) bool {
	s := h.second
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = s.Key(key)
		s.pending.put(&pendingOp[K, V]{key: names[i], id: key})
	}
	for _, tag := range tags {
		s.pending.invalidate(tag)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if s.calls.down() {
		cancel()
	}
	return s.pending.await(ctx, names, keys, tags)
}

func (h hooks[K, V]) Spread(keys []K, values map[K]V, err error, results []hook.Loaded[V]) {
	spread(keys, values, err, results)
}

func (h hooks[K, V]) Apart(ctx context.Context) context.Context {
	batch, ok := ctx.Value(loadKey{}).(*loadState)
	if !ok {
		return ctx
	}
	l := &loadState{ctx: ctx}
	l.ttl.Store(batch.ttl.Load())
	return loadContext{unsafe.Pointer(l)}
}
