package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/snowfence/snowfence/courier"
)

// Fetch returns the value stored for key. If there is none, it calls fetch and stores
// and returns the result. Callers that miss the same key at the same time share one call
// of fetch, even if their functions differ; with [NewLoading] all have the same one.
//
// A hit does not block, and ignores ctx. A miss blocks until the load has ended or ctx
// has. If there is a stale value (see Options.StaleFor), Fetch returns that, without an
// error, if the load fails, is refused, or has not ended within Options.SoftTimeout or by
// the deadline of ctx; the load goes on. [Cache.FetchResult] also reports whether the value
// is stale, and why.
//
// The context given to fetch has the values of ctx, but is cancelled only when no caller
// waits any more, the load's time-out has passed, or the cache is closed; pass it to
// all functions that fetch calls. fetch may call Fetch with that context; a cycle is an
// error. fetch must not use anything that ends with the caller, such as the transaction of a
// request.
//
// The error is the one that fetch returned, or describes how fetch ended otherwise: see
// courier.Courier.Do for all of them. It matches [ErrNotFound] if there is no record. A
// failed load stores nothing, and the next Fetch tries again, unless courier.WithBackoff
// is set.
func (c *Cache[K, V]) Fetch(
	ctx context.Context, key K, fetch func(context.Context, K) (V, error),
) (V, error) {
	if e := c.lookup(key); e != nil {
		if c.refreshAt > 0 {
			c.refresh(ctx, e, fetch)
		}
		return e.value, nil
	}
	if c.arrivals {
		r, err := c.miss(ctx, key, fetch, 0)
		return r.Value, err
	}
	v, _, err := c.courier.Do(ctx, key, c.flight(key, fetch))
	return v, err
}

// A Result describes the value that FetchResult returns.
type Result[V any] struct {
	Value V

	// Stale reports whether the TTL of Value has ended.
	Stale bool

	// Age is the time since Value was stored: 0 if this call has loaded it, or has taken it
	// from the second level. It is [AgeUnknown] for a hit if neither StaleFor nor RefreshAt is
	// set and the value bears no tag, since its entry does not hold it then.
	Age time.Duration

	// Err is the reason for which a stale value was given: the error of the load,
	// courier.ErrLate after SoftTimeout, or context.DeadlineExceeded. It is nil if Stale is
	// false.
	Err error
}

// AgeUnknown is the Age of a Result whose age is not known.
const AgeUnknown time.Duration = -1

// FetchResult does what Fetch does, and also returns whether the value is stale, why it was
// given, and its age. Its error is nil if there is a value, even a stale one.
func (c *Cache[K, V]) FetchResult(
	ctx context.Context, key K, fetch func(context.Context, K) (V, error),
) (Result[V], error) {
	if e := c.lookup(key); e != nil {
		if c.refreshAt > 0 {
			c.refresh(ctx, e, fetch)
		}
		return Result[V]{Value: e.value, Age: c.age(e)}, nil
	}
	return c.miss(ctx, key, fetch, 0)
}

// miss loads a key without a fresh value, and returns the result or what there is instead. tries is
// how often the caller came before: see missAgain.
func (c *Cache[K, V]) miss(
	ctx context.Context, key K, fetch func(context.Context, K) (V, error), tries int,
) (Result[V], error) {
	s, hash := c.shardOf(key)
	if r, ok := c.staleAtOnce(ctx, s, hash, key); ok {
		return r, nil
	}
	a := c.arrive(s, hash, key)
	waiting := ctx
	switch {
	case a.missing != nil:
		c.counters.notFoundHits.Add(1)
		return Result[V]{}, a.missing
	case a.entry != nil:
		if err := ctx.Err(); err != nil {
			if r, ok := c.fallback(ctx, s, hash, key, a, err); ok {
				return r, nil
			}
			a.entry = nil // it has ended meanwhile
			break
		}
		waiting = courier.ContextWithPatience(ctx, c.softTimeout)
	}
	v, shared, err := c.courier.Do(waiting, key, c.flight(key, fetch))
	if shared && (err == nil && c.outdated(a, key, v) || c.failedRefresh(ctx, a, err)) {
		// It joined a load that had begun before the call. A second load can't have.
		if a.entry != nil {
			waiting = courier.ContextWithPatience(ctx, c.patienceLeft(a.came))
		}
		v, _, err = c.courier.Do(waiting, key, c.flight(key, fetch))
	}
	if err != nil && c.second != nil && comesAgain(err) {
		return c.missAgain(ctx, key, fetch, tries, err)
	}
	if err != nil && a.entry != nil && !isAbsence(err) {
		if r, ok := c.fallbackAfter(ctx, s, hash, key, a, err); ok {
			return r, nil
		}
		if errors.Is(err, courier.ErrLate) { // the stale value has ended meanwhile
			v, _, err = c.courier.Do(ctx, key, c.flight(key, fetch))
			if c.second != nil && comesAgain(err) {
				return c.missAgain(ctx, key, fetch, tries, err)
			}
		}
	}
	return Result[V]{Value: v}, err
}

// missAgain does the rest of miss after a load has ended with err, a storedStale.
//
//go:noinline
func (c *Cache[K, V]) missAgain(
	ctx context.Context, key K, fetch func(context.Context, K) (V, error), tries int, err error,
) (Result[V], error) {
	var s *storedStale[V]
	if errors.As(err, &s) && s.has && tries >= maxTries { // its entry was evicted each time
		c.stripes.local().stale.Add(1)
		return Result[V]{Value: s.value, Stale: true, Age: s.age, Err: s}, nil
	}
	return c.miss(ctx, key, fetch, tries+1)
}

// maxTries bounds how often a caller comes again after a load that has found a stale value in the
// second level.
const maxTries = 2

// Refresh calls fetch and stores and returns the result, even if there is a fresh value. It
// joins a load of key that is under way: if the result must not be older than the call,
// call Expire or Delete first. It blocks as a miss of Fetch does.
//
// If the load fails, Refresh returns the error, and no stale value in its place. The stored
// value stays, unless the error is ErrNotFound.
func (c *Cache[K, V]) Refresh(
	ctx context.Context, key K, fetch func(context.Context, K) (V, error),
) (V, error) {
	v, _, err := c.courier.Do(ctx, key, func(ctx context.Context) (V, error) {
		s, hash := c.shardOf(key)
		l := c.newLoad(hash, key)
		c.register(s, l)
		if c.second != nil {
			l.second = &grant[K, V]{always: true}
		}
		return c.load(ctx, s, l, fetch)
	})
	if err != nil && comesAgain(err) { // it joined a load
		return c.Refresh(ctx, key, fetch)
	}
	return v, err
}

// flight returns the function of a flight for key, which had no fresh value.
func (c *Cache[K, V]) flight(
	key K, fetch func(context.Context, K) (V, error),
) func(context.Context) (V, error) {
	return func(ctx context.Context) (v V, err error) {
		s, hash := c.shardOf(key)
		l, v, err := c.begin(s, c.newLoad(hash, key))
		if l == nil {
			return v, err
		}
		return c.load(ctx, s, l, fetch)
	}
}

// begin registers l and returns it. If a value was stored, or a missing record remembered, since
// the caller's miss, it returns that instead, and nil.
func (c *Cache[K, V]) begin(s *shard[K, V], l *load[K, V]) (_ *load[K, V], v V, err error) {
	e, err := c.findOrRegister(s, l)
	switch {
	case err != nil:
		return nil, v, err
	case e != nil:
		return nil, e.value, nil
	}
	return l, v, nil
}

// findOrRegister returns the fresh entry of l's key, if any, or the error of a missing record
// that is remembered. Otherwise it registers l as the load whose result may be stored for
// the key.
func (c *Cache[K, V]) findOrRegister(s *shard[K, V], l *load[K, V]) (*entry[K, V], error) {
	if !equalsItself(l.key) {
		return nil, nil //nolint:nilnil // neither
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.index.find(l.hash, l.key)
	if e != nil && !c.expired(e) {
		return e, nil
	}
	if err := s.missing.find(l.key, &c.clock); err != nil {
		return nil, err
	}
	c.registerLocked(s, l, e)
	return nil, nil //nolint:nilnil // neither
}

// register registers l, even if its key has a fresh value.
func (c *Cache[K, V]) register(s *shard[K, V], l *load[K, V]) {
	if !equalsItself(l.key) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.registerLocked(s, l, s.index.find(l.hash, l.key))
}

// registerLocked registers l, even if its key has a fresh value. e is the key's entry, or nil. s.mu
// is held.
func (c *Cache[K, V]) registerLocked(s *shard[K, V], l *load[K, V], e *entry[K, V]) {
	if e != nil && !c.gone(e) {
		r := &replacement[K, V]{
			fresh: !c.expired(e), supersedes: s.loads.get(l.hash, l.key) != nil,
		}
		r.entry.Store(e)
		l.replaces = r
	}
	l.invalidations = c.invalidated.seq.Load()
	s.supersede(l.hash, l.key)
	s.loads.put(l)
}

// errDied is the error of a load until its function has returned.
var errDied = errors.New("cache: the fetch function panicked or called runtime.Goexit")

// load calls fetch in the flight ctx, and stores its result if l is still registered
// then. s is the shard of l's key. In any case l is not registered afterwards.
//
// A flight begins with a small stack, and growing it would cost as much as the rest of the
// load. So functions that need much of it are not nested.
func (c *Cache[K, V]) load(
	ctx context.Context, s *shard[K, V], l *load[K, V], fetch func(context.Context, K) (V, error),
) (V, error) {
	l.ctx = ctx
	var r loaded[V]
	c.call(s, l, fetch, &r)
	if c.keeps(s, l, &r) { // as keep, whose frame would be one too many
		c.store(s, l, &r, c.entryOf(l, &r))
	}
	return r.value, r.err
}

// A loaded holds the result of a load.
type loaded[V any] struct {
	value   V // value and err go to the callers
	err     error
	failure error // the reason if the load has failed

	ttl    time.Duration // for which value is to be stored; 0: it is not
	tags   []string      // of value
	weight uint32        // of value
	same   bool          // value is that of the entry which is replaced
}

// call calls fetch for l, and the other functions of the user that judge its result, and sets r.
func (c *Cache[K, V]) call(
	s *shard[K, V], l *load[K, V], fetch func(context.Context, K) (V, error), r *loaded[V],
) {
	r.failure = errDied
	defer c.endLoad(s, l, r) // also after a panic or Goexit of fetch
	if l.replaces != nil {
		c.watch(l)
	}
	if c.second == nil {
		c.counters.loads.Add(1)
		r.value, r.err = fetch(loadContext{unsafe.Pointer(&l.loadState)}, l.key)
	} else {
		c.callSecond(l, fetch, r)
	}
	c.judge(l, r)
}

// judge sets the rest of r, by the options, for the value and the error that l's function has
// returned in r.
func (c *Cache[K, V]) judge(l *load[K, V], r *loaded[V]) {
	if r.err != nil {
		c.interpret(l, r)
		if r.err != nil {
			return
		}
	}
	if ttl := time.Duration(l.ttl.Load()); ttl > 0 && equalsItself(l.key) {
		r.weight, r.tags = c.weigh(l.key, r.value), c.tagsFor(l.key, r.value)
		r.ttl = ttl
	}
	r.failure = nil // not before: functions of the user may panic
}

// interpret sets r's result according to its error: a missing record, a value that is kept, or a
// failure.
func (c *Cache[K, V]) interpret(l *load[K, V], r *loaded[V]) {
	value, ok := l.replacement().previous()
	switch absent := c.asNotFound(r.err); {
	case absent != nil:
		r.err, r.failure = absent, nil
	case !errors.Is(r.err, ErrNotModified):
		r.failure = r.err
	case !ok:
		r.err = fmt.Errorf("cache: there is no value to keep: %w", r.err)
		r.failure = r.err
	default:
		r.value, r.err, r.same = value, nil, true
	}
}

// ended reports whether l's flight has ended. Then its callers got an error, so nothing is
// stored: l is unregistered, and has failed.
func (c *Cache[K, V]) ended(s *shard[K, V], l *load[K, V]) bool {
	if l.ctx.Err() == nil {
		return false
	}
	c.counters.loadErrors.Add(1)
	s.unregister(l)
	return true
}

// endLoad counts a failure of l, if it has failed, and unregisters it then. It is called when
// the functions of the user that l calls have ended, whatever ended them.
func (c *Cache[K, V]) endLoad(s *shard[K, V], l *load[K, V], r *loaded[V]) {
	failure := r.failure
	if failure != nil {
		if comesAgain(failure) {
			failure = nil
		} else {
			c.counters.loadErrors.Add(1)
		}
		s.unregister(l)
	}
	if l.replaces != nil {
		c.unwatch(l, failure)
	}
}

// ErrNotModified is returned, or wrapped, by a fetch function if the value that [Previous]
// returns is still the right one, as by the status 304 of HTTP. The value is kept for a new
// TTL (Options.TTL, or that of [StoreFor]), and returned to the callers. If there is no such
// value, it is an error like any other.
var ErrNotModified = errors.New("cache: not modified")

// Previous returns the value that the load in ctx is to replace, fresh in a refresh or else
// stale. A fetch function calls it with its context, for example for the ETag of the value.
// ok is false if there is none, if its type is not V, or if ctx belongs to no load of a single
// key that is under way. It does not block, and is safe for concurrent use.
func Previous[V any](ctx context.Context) (value V, ok bool) {
	l, ok := ctx.Value(loadKey{}).(*loadState)
	if !ok {
		return value, false
	}
	of, ok := l.replaces.(interface{ previous() (V, bool) })
	if !ok {
		return value, false
	}
	return of.previous()
}

func (r *replacement[K, V]) previous() (value V, ok bool) {
	if e := r.replaced(); e != nil {
		return e.value, true
	}
	return value, false
}

// unregister unregisters l, if it is registered.
func (s *shard[K, V]) unregister(l *load[K, V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loads.has(l) {
		s.loads.remove(l.hash, l.key)
	}
}
