package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/snowfence/snowfence/courier"
)

// FetchMany returns the values of keys: those that are stored, and for the others what
// fetch returns, which it calls once for all keys that are missing and that no load is under
// way for. Each key is a load of its own otherwise: a Fetch or FetchMany of a key that is
// loaded by another one joins that load, and waits for no other key.
//
// fetch returns the values that it has. A key that its map lacks has no record: it is
// missing from the result, too, which is no error (a single Fetch that waits for it gets
// [ErrNotFound]). Other keys in its map are stored, if nothing was set or removed in their
// part of the cache since fetch was called, and are not in the result. If fetch returns an
// error, panics, or exceeds its time, that is the error of each of its keys. It can fail for
// some keys alone by returning a *[ManyError] along with the values of the others; with a
// nil map, that is the error of all keys which it does not name.
//
// The result has all values that could be had, stale ones too (see Options.StaleFor). err is
// nil if all keys are there or have no record, and a *[ManyError] otherwise, with an error
// for each key that is not. FetchMany blocks until all keys are there, or as long as a Fetch
// would; at the deadline of ctx it returns what is there. ctx and the context given to fetch
// are as those of Fetch. [StoreFor] with the latter sets the TTL of all values.
//
// With Options.MaxBatch, fetch is called for at most so many keys at once, several times at
// the same time. The limits of package courier count each call as one function. keys may
// repeat, and must not change until FetchMany returns.
func (c *Cache[K, V]) FetchMany(
	ctx context.Context, keys []K, fetch func(ctx context.Context, missing []K) (map[K]V, error),
) (map[K]V, error) {
	m := many[K, V]{cache: c, fetch: fetch, found: make(map[K]V, len(keys))}
	for _, key := range keys {
		e := c.lookup(key)
		if e == nil {
			if m.missing == nil {
				m.missing = make([]K, 0, len(keys))
			}
			m.missing = append(m.missing, key)
			continue
		}
		m.found[key] = e.value
		if c.refreshAt > 0 && c.due(e) {
			m.due = append(m.due, e)
		}
	}
	if len(m.due) > 0 {
		m.refresh(ctx)
	}
	if len(m.missing) > 0 {
		m.load(ctx)
	}
	return m.result()
}

// A ManyError says which keys of a FetchMany have failed. errors.Is and errors.As find the
// errors of all keys in it. A fetch function may return one, too.
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

// many is the work of one FetchMany.
type many[K comparable, V any] struct {
	cache   *Cache[K, V]
	fetch   func(context.Context, []K) (map[K]V, error)
	found   map[K]V
	failed  map[K]error
	missing []K
	due     []*entry[K, V] // to be refreshed
}

// result returns what FetchMany returns.
func (m *many[K, V]) result() (map[K]V, error) {
	if len(m.failed) > 0 {
		return m.found, &ManyError[K]{ByKey: m.failed}
	}
	return m.found, nil
}

// load loads the keys that are missing, but for those for which something else is given.
func (m *many[K, V]) load(ctx context.Context) {
	c := m.cache
	came := c.clock.now()
	keys := make([]K, 0, len(m.missing))
	arrivals := make([]arrival[K, V], 0, len(m.missing))
	for _, key := range m.missing {
		s, hash := c.shardOf(key)
		a := c.arrive(s, hash, key)
		if a.missing != nil {
			c.counters.notFoundHits.Add(1)
			continue
		}
		if a.entry != nil {
			err := c.rests(a.entry)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				if r, ok := c.instead(ctx, s, hash, key, a, err); ok {
					m.found[key] = r.Value
					continue
				}
				a.entry = nil // it has ended meanwhile
			}
		}
		keys, arrivals = append(keys, key), append(arrivals, a)
	}
	for patience := c.softTimeout; len(keys) > 0; patience = c.patienceLeft(came) {
		keys, arrivals = m.loadKeys(ctx, patience, keys, arrivals)
	}
}

// loadKeys loads keys and returns those that are to be loaded again, with what there is for
// them: their value is one of before the call, by its tags, or a refresh that began before it
// has failed, or what there was instead of a value has ended meanwhile.
func (m *many[K, V]) loadKeys(
	ctx context.Context, patience time.Duration, keys []K, arrivals []arrival[K, V],
) (again []K, left []arrival[K, V]) {
	c := m.cache
	waiting := ctx
	if c.staleFor > 0 {
		waiting = courier.ContextWithPatienceFor(ctx, patience,
			func(i int) bool { return arrivals[i].entry != nil })
	}
	for i, o := range c.courier.DoMany(waiting, keys, m.flight(c.begin)) {
		key, a := keys[i], arrivals[i]
		switch {
		case o.Shared && (o.Err == nil && c.outdated(a, key, o.Value) || c.failedRefresh(ctx, a, o.Err)):
			// It joined a load that had begun before. No other one has.
			a.load, a.oldest = nil, a.invalidations
		case m.end(ctx, key, a, o.Value, o.Err):
			continue
		default:
			a = arrival[K, V]{}
		}
		again, left = append(again, key), append(left, a)
	}
	return again, left
}

// end notes what has become of the load of a key. It returns false if the caller has left
// it for a stale value that has ended meanwhile.
func (m *many[K, V]) end(ctx context.Context, key K, a arrival[K, V], v V, err error) bool {
	if isAbsence(err) {
		return true
	}
	ok := err == nil
	if !ok && a.entry != nil {
		s, hash := m.cache.shardOf(key)
		var r Result[V]
		r, ok = m.cache.insteadOf(ctx, s, hash, key, a, err)
		v = r.Value
		if !ok && errors.Is(err, courier.ErrLate) {
			return false
		}
	}
	m.put(key, v, err, ok)
	return true
}

// put puts v into the result for key or, if ok is false, err.
func (m *many[K, V]) put(key K, v V, err error, ok bool) {
	switch {
	case ok:
		m.found[key] = v
	case m.failed == nil:
		m.failed = map[K]error{key: err}
	default:
		m.failed[key] = err
	}
}

// flight returns the function of a flight that loads several keys. begin is called for each
// of them.
func (m *many[K, V]) flight(
	begin func(s *shard[K, V], hash uint32, key K) (*load[K, V], V, error),
) func(context.Context, []K) ([]courier.Outcome[V], error) {
	return func(ctx context.Context, keys []K) ([]courier.Outcome[V], error) {
		b := batch[K, V]{
			cache: m.cache, outcomes: make([]courier.Outcome[V], len(keys)),
			keys: make([]K, 0, len(keys)), loads: make([]*load[K, V], 0, len(keys)), at: make([]int, 0, len(keys)),
		}
		for i, key := range keys {
			s, hash := m.cache.shardOf(key)
			l, v, err := begin(s, hash, key)
			if l == nil {
				b.outcomes[i] = courier.Outcome[V]{Value: v, Err: err}
				continue
			}
			b.keys, b.loads, b.at = append(b.keys, key), append(b.loads, l), append(b.at, i)
		}
		if len(b.keys) > 0 {
			b.run(ctx, m.fetch)
		}
		return b.outcomes, nil
	}
}

// refresh starts a background load of the entries that are due, in one batch.
func (m *many[K, V]) refresh(ctx context.Context) {
	c := m.cache
	at := make(map[K]int, len(m.due))
	var keys []K
	var loads []*load[K, V]
	var entries []*entry[K, V]
	for _, e := range m.due {
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
	begin := func(s *shard[K, V], _ uint32, key K) (l *load[K, V], v V, err error) { //nolint:unparam // as Cache.begin
		i := at[key]
		if now := c.storedSince(s, loads[i], entries[i]); now != nil {
			return nil, now.value, nil
		}
		c.counters.refreshes.Add(1)
		return loads[i], v, nil
	}
	ctx = courier.ContextWithLowPriority(backgroundOf(ctx))
	c.enqueueRefresh(loads, entries, func() {
		c.courier.DoMany(ctx, keys, m.flight(begin))
		for i, l := range loads {
			s, _ := c.shardOf(l.key)
			s.unregister(l)
			c.retryRefresh(entries[i])
		}
	})
}

// A batch is one call of a fetch function of several keys.
type batch[K comparable, V any] struct {
	cache    *Cache[K, V]
	keys     []K
	loads    []*load[K, V]
	at       []int // in outcomes
	outcomes []courier.Outcome[V]
	writes   []uint32 // of each shard, before the call

	mu   sync.Mutex // guards ttls
	ttls map[K]time.Duration
}

// storeFor sets the TTL of one result: see package hook.
func (b *batch[K, V]) storeFor(key K, ttl time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ttls == nil {
		b.ttls = make(map[K]time.Duration, len(b.keys))
	}
	b.ttls[key] = ttl
}

// ttlOf returns the TTL of the result for key: the one for all, unless storeFor has set another.
func (b *batch[K, V]) ttlOf(key K, all int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ttl, ok := b.ttls[key]; ok {
		return int64(ttl)
	}
	return all
}

// run calls fetch in the flight ctx and stores what it returns.
func (b *batch[K, V]) run(
	ctx context.Context, fetch func(context.Context, []K) (map[K]V, error),
) {
	c := b.cache
	c.counters.loads.Add(uint64(len(b.keys)))
	for _, l := range b.loads {
		l.ctx = ctx //nolint:fatcontext // one for all
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
	for i := range c.shards {
		b.writes = append(b.writes, c.shards[i].writesNow())
	}
	invalidations := c.invalidated.seq.Load()
	state := loadState{ctx: ctx, replaces: b}
	state.ttl.Store(int64(c.ttl))
	values, err := fetch(loadContext{unsafe.Pointer(&state)}, b.keys)

	var byKey *ManyError[K]
	errors.As(err, &byKey)
	taken := 0
	for i, l := range b.loads {
		l.ttl.Store(b.ttlOf(l.key, state.ttl.Load()))
		v, ok := values[l.key]
		if ok {
			taken++
		}
		err := err
		if own := byKey.of(l.key); own != nil || byKey != nil && values != nil {
			err = own
		}
		if err == nil && !ok {
			err = ErrNotFound
		}
		s, _ := c.shardOf(l.key)
		r := loaded[V]{value: v, err: err}
		c.judge(l, &r)
		c.endLoad(s, l, &r)
		c.keep(s, l, &r)
		b.outcomes[b.at[i]] = courier.Outcome[V]{Value: r.value, Err: r.err}
		ended++
	}
	if len(values) > taken && ctx.Err() == nil && (err == nil || byKey != nil) {
		b.storeExtra(values, state.ttl.Load(), invalidations)
	}
}

// writesNow returns the number of writes of the user so far.
func (s *shard[K, V]) writesNow() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// storeExtra stores those of values that fetch was not asked for, for ttl, unless something
// was written in their shard meanwhile: that may have been a delete of the key.
func (b *batch[K, V]) storeExtra(values map[K]V, ttl int64, invalidations uint32) {
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
		writes := b.writes[c.shardNumber(s)]
		var p placed[K, V]
		s.mu.Lock()
		if c.closed.Load() || s.writes != writes || c.fresh(s, hash, key) != nil ||
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
