package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unsafe"

	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
)

// FetchMany returns the values of keys: those that are stored, and for the others those that
// fetch returns. It calls fetch once, for all missing keys without a load under way. Otherwise
// each key is a load of its own: a Fetch or FetchMany of a key that is being loaded joins that
// load, and waits for no other key.
//
// fetch returns the values that it has. A key that its map lacks has no record: it is
// missing from the result, too, which is no error (a single Fetch that waits for it gets
// [ErrNotFound]). Other keys in its map are stored, if nothing was set or removed in their
// part of the cache since fetch was called, and are not in the result. If fetch returns an
// error, panics, or times out, that is the error of each of its keys. It can fail for some
// keys alone by returning a *[ManyError] along with the values of the others; with a nil map,
// that is the error of all keys which it does not name.
//
// The result has all available values, stale ones too (see Options.StaleFor). err is nil if
// each key has a value or no record, and a *[ManyError] otherwise, with an error for each
// other key. FetchMany blocks until all keys are loaded, or as long as a Fetch would; at the
// deadline of ctx it returns the values that it has. ctx and the context given to fetch
// are as those of Fetch. [StoreFor] with the latter sets the TTL of all values.
//
// With Options.MaxBatch, fetch is called for at most that many keys at once, and several times
// at the same time for more. The limits of package courier count each call as one function.
// keys may contain a key more than once, and must not change until FetchMany returns.
func (c *Cache[K, V]) FetchMany(
	ctx context.Context, keys []K, fetch func(ctx context.Context, missing []K) (map[K]V, error),
) (map[K]V, error) {
	r := manyResult[K, V]{found: make(map[K]V, len(keys))}
	var missing []K
	var due []*entry[K, V]
	for _, key := range keys {
		e := c.lookup(key)
		if e == nil {
			if missing == nil {
				missing = make([]K, 0, len(keys))
			}
			missing = append(missing, key)
			continue
		}
		r.found[key] = e.value
		if c.refreshAt > 0 && c.due(e) {
			due = append(due, e)
		}
	}
	if len(missing) == 0 && len(due) == 0 {
		return r.found, nil
	}
	m := many[K, V]{c, func(ctx context.Context, b *batch[K, V]) { b.call(ctx, fetch) }}
	m.refresh(ctx, due)
	for i, o := range m.load(ctx, missing) {
		r.put(missing[i], o.Value, o.Err)
	}
	return r.get()
}

// A ManyError holds the errors of the keys of a FetchMany that have failed. errors.Is and
// errors.As find each of them. A fetch function may return one, too.
type ManyError[K comparable] struct {
	ByKey map[K]error // not nil
}

// Error describes the ManyError in one line, with the error of one of its keys, and names no key:
// ByKey has them.
func (e *ManyError[K]) Error() string {
	for _, err := range e.ByKey {
		if len(e.ByKey) == 1 {
			return fmt.Sprintf("cache: a key failed: %v", err)
		}
		return fmt.Sprintf("cache: %d keys failed, one of them: %v", len(e.ByKey), err)
	}
	return "cache: no key failed"
}

// of returns the error of key, or nil. e may be nil.
func (e *ManyError[K]) of(key K) error {
	if e == nil {
		return nil
	}
	return e.ByKey[key]
}

// Unwrap returns the errors of all keys, in no particular order.
func (e *ManyError[K]) Unwrap() []error { return slices.Collect(maps.Values(e.ByKey)) }

// A manyResult collects the results of FetchMany.
type manyResult[K comparable, V any] struct {
	found  map[K]V
	failed map[K]error
}

// put adds the result of key.
func (r *manyResult[K, V]) put(key K, v V, err error) {
	switch {
	case err == nil:
		r.found[key] = v
	case isAbsence(err):
	case r.failed == nil:
		r.failed = map[K]error{key: err}
	default:
		r.failed[key] = err
	}
}

// get returns the results of FetchMany.
func (r *manyResult[K, V]) get() (map[K]V, error) {
	maps.DeleteFunc(r.failed, func(key K, _ error) bool { // of a key that was there twice
		_, ok := r.found[key]
		return ok
	})
	if len(r.failed) > 0 {
		return r.found, &ManyError[K]{ByKey: r.failed}
	}
	return r.found, nil
}

// many does the work of one FetchMany.
type many[K comparable, V any] struct {
	cache *Cache[K, V]
	call  func(context.Context, *batch[K, V]) // calls the fetch function, and sets the results
}

// load returns the outcomes of keys, which have no fresh value.
func (m *many[K, V]) load(ctx context.Context, keys []K) []courier.Outcome[V] {
	c := m.cache
	if len(keys) == 0 {
		return nil
	}
	if !c.arrivals {
		return c.courier.DoMany(ctx, keys, m.flight(c.beginMany))
	}
	came := c.clock.now()
	outcomes := make([]courier.Outcome[V], len(keys))
	waits := make([]waiter[K, V], 0, len(keys))
	for i, key := range keys {
		if w, ok := m.arrive(ctx, key, &outcomes[i]); ok {
			w.at = i
			waits = append(waits, w)
		}
	}
	for patience := c.softTimeout; len(waits) > 0; patience = c.patienceLeft(came) {
		waits = m.loadKeys(ctx, patience, waits, outcomes)
	}
	return outcomes
}

// A waiter holds a caller's wait for one of its keys.
type waiter[K comparable, V any] struct {
	key   K
	at    int // of its outcome
	tries int // how often the caller came before: see waitAgain
	arrival[K, V]
}

// arrive returns the caller's wait for key. ok is false if there is none: then it has set the
// outcome.
func (m *many[K, V]) arrive(
	ctx context.Context, key K, o *courier.Outcome[V],
) (w waiter[K, V], ok bool) {
	c := m.cache
	s, hash := c.shardOf(key)
	if r, ok := c.staleAtOnce(ctx, s, hash, key); ok {
		o.Value = r.Value
		return w, false
	}
	a := c.arrive(s, hash, key)
	if a.missing != nil {
		c.counters.notFoundHits.Add(1)
		o.Err = a.missing
		return w, false
	}
	if a.entry != nil {
		if err := ctx.Err(); err != nil {
			if r, ok := c.fallback(ctx, s, hash, key, a, err); ok {
				o.Value = r.Value
				return w, false
			}
			a.entry = nil // it has ended meanwhile
		}
	}
	return waiter[K, V]{key: key, arrival: a}, true
}

// waitAgain does for a key of a batch what missAgain does for one.
func (m *many[K, V]) waitAgain(
	ctx context.Context, w *waiter[K, V], err error, outcomes []courier.Outcome[V],
) (next waiter[K, V], ok bool) {
	var s *storedStale[V]
	if errors.As(err, &s) && s.has && w.tries >= maxTries {
		m.cache.stripes.local().stale.Add(1)
		outcomes[w.at].Value = s.value
		return next, false
	}
	next, ok = m.arrive(ctx, w.key, &outcomes[w.at])
	next.at, next.tries = w.at, w.tries+1
	return next, ok
}

// loadKeys loads the keys of waits, sets their outcomes, and returns those that are to be loaded
// again: their value may be outdated by an invalidation of its tags before the call, or a refresh
// that began before the call has failed, or their stale value has ended meanwhile.
func (m *many[K, V]) loadKeys(
	ctx context.Context, patience time.Duration, waits []waiter[K, V], outcomes []courier.Outcome[V],
) (again []waiter[K, V]) {
	c := m.cache
	waiting := ctx
	if c.staleFor > 0 {
		waiting = courier.ContextWithPatienceFor(ctx, patience,
			func(i int) bool { return waits[i].entry != nil })
	}
	keys := make([]K, len(waits))
	for i := range waits {
		keys[i] = waits[i].key
	}
	for i, o := range c.courier.DoMany(waiting, keys, m.flight(c.beginMany)) {
		w := &waits[i]
		a := w.arrival
		switch {
		case o.Err != nil && c.second != nil && comesAgain(o.Err):
			if next, ok := m.waitAgain(ctx, w, o.Err, outcomes); ok {
				again = append(again, next)
			}
			continue
		case o.Shared && (o.Err == nil && c.outdated(a, w.key, o.Value) ||
			c.failedRefresh(ctx, a, o.Err)):
			// It joined a load that had begun before the call. A second load can't have.
			a.load, a.oldest = nil, a.invalidations
		case m.end(ctx, w.key, a, &o):
			outcomes[w.at] = o
			continue
		default:
			a = arrival[K, V]{}
		}
		again = append(again, waiter[K, V]{w.key, w.at, w.tries, a})
	}
	return again
}

// end turns o, the outcome of a load of key, into that of the caller. It returns false if the
// caller has left the load for a stale value that has ended meanwhile.
func (m *many[K, V]) end(
	ctx context.Context, key K, a arrival[K, V], o *courier.Outcome[V],
) bool {
	if o.Err == nil || a.entry == nil || isAbsence(o.Err) {
		return true
	}
	s, hash := m.cache.shardOf(key)
	r, ok := m.cache.fallbackAfter(ctx, s, hash, key, a, o.Err)
	if ok {
		o.Value, o.Err = r.Value, nil
	}
	return ok || !errors.Is(o.Err, courier.ErrLate)
}

// beginMany returns a begin function for that number of keys.
func (c *Cache[K, V]) beginMany(keys int) beginFunc[K, V] {
	block := make([]load[K, V], keys)
	return func(key K) (l *load[K, V], v V, err error) {
		l, block = &block[0], block[1:]
		s, hash := c.shardOf(key)
		c.initLoad(l, hash, key)
		return c.begin(s, l)
	}
}

// A beginFunc does for one of several keys what Cache.begin does.
type beginFunc[K comparable, V any] func(key K) (*load[K, V], V, error)

// flight returns the function of a flight that loads several keys.
func (m *many[K, V]) flight(
	beginMany func(keys int) beginFunc[K, V],
) func(context.Context, []K) ([]courier.Outcome[V], error) {
	return func(ctx context.Context, keys []K) ([]courier.Outcome[V], error) {
		b := batch[K, V]{cache: m.cache, keys: keys, loads: make([]*load[K, V], 0, len(keys))}
		outcomes := make([]courier.Outcome[V], len(keys))
		begin := beginMany(len(keys))
		var at []int // indexes of loads in outcomes; nil: they are the same
		for i, key := range keys {
			l, v, err := begin(key)
			if l == nil && at == nil {
				b.keys = slices.Clone(keys[:i])
				at = make([]int, i, len(keys))
				for j := range at {
					at[j] = j
				}
			}
			if l == nil {
				outcomes[i].Value, outcomes[i].Err = v, err
				continue
			}
			b.loads = append(b.loads, l)
			if at != nil {
				b.keys, at = append(b.keys, key), append(at, i)
			}
		}
		if len(b.loads) > 0 {
			b.run(ctx, m.call, func(i int, v V, err error) {
				if at != nil {
					i = at[i]
				}
				outcomes[i].Value, outcomes[i].Err = v, err
			})
		}
		return outcomes, nil
	}
}

// refresh starts a background load of entries that are due, in one batch.
func (m *many[K, V]) refresh(ctx context.Context, due []*entry[K, V]) {
	if len(due) == 0 {
		return
	}
	c := m.cache
	at := make(map[K]int, len(due))
	var keys []K
	var loads []*load[K, V]
	var entries []*entry[K, V]
	for _, e := range due {
		s, hash := c.shardOf(e.key)
		l := c.newLoad(hash, e.key)
		if c.registerRefresh(s, e, l) {
			at[e.key] = len(keys)
			keys, loads, entries = append(keys, e.key), append(loads, l), append(entries, e)
		}
	}
	if len(keys) == 0 {
		return
	}
	begin := func(key K) (l *load[K, V], v V, err error) { //nolint:unparam // as Cache.begin
		i := at[key]
		s, _ := c.shardOf(key)
		if now := c.storedSince(s, loads[i], entries[i]); now != nil {
			return nil, now.value, nil
		}
		c.counters.refreshes.Add(1)
		return loads[i], v, nil
	}
	ctx = courier.ContextWithLowPriority(backgroundOf(ctx))
	c.enqueueRefresh(loads, entries, func() {
		c.courier.DoMany(ctx, keys, m.flight(func(int) beginFunc[K, V] { return begin }))
		for i, l := range loads {
			s, _ := c.shardOf(l.key)
			s.unregister(l)
			c.retryRefresh(entries[i])
		}
	})
}

// A batch is one call of a fetch function of several keys.
type batch[K comparable, V any] struct {
	cache   *Cache[K, V]
	keys    []K
	loads   []*load[K, V]    // of keys
	results []hook.Loaded[V] // of keys
	extra   func(ttl int64)  // stores the values of other keys that the function returned; or nil
}

// call calls fetch and sets the results.
func (b *batch[K, V]) call(
	ctx context.Context, fetch func(context.Context, []K) (map[K]V, error),
) {
	c := b.cache
	writes := make([]uint32, len(c.shards))
	for i := range c.shards {
		writes[i] = c.shards[i].writes.Load()
	}
	invalidations := c.invalidated.seq.Load()
	values, err := fetch(ctx, slices.Clone(b.keys)) // fetch may sort or keep them
	if more := spread(b.keys, values, err, b.results); more {
		b.extra = func(ttl int64) { b.storeExtra(values, ttl, writes, invalidations) }
	}
}

// spread sets results to the result of each of keys, for which a fetch function has returned values
// and err. It reports whether the function has returned values of other keys, too.
func spread[K comparable, V any](
	keys []K, values map[K]V, err error, results []hook.Loaded[V],
) (more bool) {
	var byKey *ManyError[K]
	if err != nil {
		errors.As(err, &byKey)
	}
	taken := 0
	for i, key := range keys {
		v, ok := values[key]
		if ok {
			taken++
		}
		err := err
		if own := byKey.of(key); own != nil || byKey != nil && values != nil {
			err = own
		}
		if err == nil && !ok {
			err = ErrNotFound
		}
		results[i].Value, results[i].Err = v, err
	}
	return len(values) > taken && (err == nil || byKey != nil)
}

// run calls a fetch function by way of call, in the flight ctx, stores the results, and calls end
// with each of them.
func (b *batch[K, V]) run(
	ctx context.Context, call func(context.Context, *batch[K, V]), end func(i int, v V, err error),
) {
	c := b.cache
	for _, l := range b.loads {
		l.ctx = ctx //nolint:fatcontext // one context for all loads
		if l.replaces != nil {
			c.watch(l)
		}
	}
	ended := 0
	defer func() { // after a panic or Goexit of fetch, or another function of the user
		for _, l := range b.loads[ended:] {
			s, _ := c.shardOf(l.key)
			c.endLoad(s, l, &loaded[V]{failure: errDied})
		}
	}()
	b.results = make([]hook.Loaded[V], len(b.keys))
	state := loadState{ctx: ctx}
	state.ttl.Store(int64(c.ttl))
	b.callBoth(loadContext{unsafe.Pointer(&state)}, &state, call)

	var r loaded[V]
	for i, l := range b.loads {
		from := &b.results[i]
		if from.HasTTL {
			l.ttl.Store(int64(from.TTL))
		} else {
			l.ttl.Store(state.ttl.Load())
		}
		s, _ := c.shardOf(l.key)
		r = loaded[V]{value: from.Value, err: from.Err}
		c.judge(l, &r)
		c.endLoad(s, l, &r)
		c.keep(s, l, &r)
		end(i, r.value, r.err)
		ended++
	}
	if b.extra != nil && ctx.Err() == nil {
		b.extra(state.ttl.Load())
	}
}

// callBoth calls the fetch function, by way of call, for the keys that the second level does not
// have.
func (b *batch[K, V]) callBoth(
	ctx context.Context, state *loadState, call func(context.Context, *batch[K, V]),
) {
	c := b.cache
	switch {
	case c.second == nil:
	case c.second.manual:
		state.second = &grant[K, V]{batch: b}
	default:
		c.second.throughMany(ctx, b, b.results,
			func(ctx context.Context, keys []K, results []hook.Loaded[V]) {
				rest := batch[K, V]{cache: c, keys: keys, results: results}
				call(ctx, &rest)
				b.extra = rest.extra
			})
		return
	}
	c.counters.loads.Add(uint64(len(b.keys)))
	call(ctx, b)
}

// storeExtra stores, for ttl, the values of keys that fetch was not called for, unless the user
// has written to their shard since the writes counted in before: that may have been a delete of
// the key.
func (b *batch[K, V]) storeExtra(
	values map[K]V, ttl int64, before []uint32, invalidations uint32,
) {
	if ttl <= 0 {
		return
	}
	c := b.cache
	asked := make(map[K]struct{}, len(b.keys))
	for _, key := range b.keys {
		asked[key] = struct{}{}
	}
	for key, v := range values {
		if _, was := asked[key]; was || !equalsItself(key) {
			continue
		}
		s, hash := c.shardOf(key)
		e, tags := c.entryFor(hash, key, v, time.Duration(ttl))
		writes := before[c.shardNumber(s)]
		var p placed[K, V]
		s.mu.Lock()
		if c.closed.Load() || s.writes.Load() != writes || c.fresh(s, hash, key) != nil ||
			s.loads.get(hash, key) != nil ||
			c.invalidatedSince(invalidations, tags) {
			s.mu.Unlock()
			continue
		}
		s.missing.forget(key)
		c.put(s, e, tags, false, &p)
		s.mu.Unlock()
		c.settle(s, e, &p)
	}
}
