package cache

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/snowfence/snowfence/cache/internal/evict"
	"github.com/snowfence/snowfence/cache/internal/hook"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/eventlog"
)

// ErrClosed is returned by Fetch after Close. It equals courier.ErrClosed.
var ErrClosed = courier.ErrClosed

// A Cache stores values by key, up to a capacity and for a time to live, and loads
// each missing value once. Make one with [New]. All methods are safe for concurrent
// use. Nil and zero values are stored like any other. A key that does not equal
// itself (NaN) is never stored.
type Cache[K comparable, V any] struct {
	ttl       time.Duration
	jitter    float64
	refreshAt float64
	staleFor  time.Duration
	lives     bool // entries are of kind lived or tagged: StaleFor or RefreshAt is set
	arrivals  bool // a caller that misses may find more than nothing: see arrive

	softTimeout time.Duration
	staleRetry  time.Duration
	notFoundTTL time.Duration
	isNotFound  func(error) bool

	maxWeight int64
	weigher   func(K, V) uint32
	tagger    func(K, V) []string // Options.Tags
	onChange  func(K)             // set by package cluster; see package hook

	strict    bool // small shards move an entry on each hit
	compacts  bool // tables shrink
	shedAbove float64

	courier *courier.Courier[K, V]
	seed    maphash.Seed
	shards  []shard[K, V] // their number is a power of two
	stripes stripes
	clock   clock

	// Totals over all shards, written while the changed shard is locked. An
	// insertion that evicts an entry of the same weight changes none of them, so
	// that writers do not contend for their cache line.
	count    atomic.Int64
	capacity atomic.Int64 // changed by SetCapacity alone
	weight   atomic.Int64
	heavy    atomic.Int64 // the part of weight in entries above heavyAbove

	heavyAbove int64         // an entry above this weight does not count towards its shard's share
	window     *evict.Window // nil unless the policy is Adaptive

	closed    atomic.Bool
	sweeper   periodic
	shedder   periodic
	memory    func() memory // readMemory, replaced by tests
	lastGC    uint64        // the last garbage collection seen; only the shedder's goroutine uses it
	refresher refresher

	second      *second[K, V] // nil: there is no second level
	invalidated invalidations
	callbacks   callbacks[K, V]
	counters    counters
	log         *eventlog.Log              // nil: there is no Options.Logger
	sampled     atomic.Pointer[hitSamples] // nil until the first call of Hottest

	onRemoval func(K, V) // set by packages lru and expirable; see package hook

	access
}

// New makes a Cache. For an invalid option it returns an *[OptionError], which names
// the field and the value, or a *courier.OptionError.
//
// Entries with a TTL, refreshes, ShedAbove and OnEviction need goroutines, which start
// on demand; Close stops them.
func New[K comparable, V any](o Options[K, V]) (*Cache[K, V], error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	c := &Cache[K, V]{
		ttl:         cmp.Or(o.TTL, Forever),
		jitter:      o.TTLJitter,
		refreshAt:   o.RefreshAt,
		staleFor:    o.StaleFor,
		lives:       o.StaleFor > 0 || o.RefreshAt > 0,
		arrivals:    o.StaleFor > 0 || o.NotFoundTTL > 0 || o.RefreshAt > 0 || o.Tags != nil,
		softTimeout: o.SoftTimeout,
		staleRetry:  o.StaleRetry,
		notFoundTTL: o.NotFoundTTL,
		isNotFound:  o.IsNotFound,
		maxWeight:   int64(o.MaxWeight), //nolint:gosec // validated
		weigher:     o.Weigher,
		tagger:      o.Tags,
		strict:      o.Policy == LRU || o.Policy == StrictLRU,
		compacts:    !o.NoCompaction,
		shedAbove:   o.ShedAbove,
		courier:     courier.New[K, V](o.courierOptions()...),
		seed:        maphash.MakeSeed(),
		shards:      make([]shard[K, V], o.shardCount()),
		stripes:     newStripes(),
		memory:      readMemory,
		log:         eventlog.New(o.Logger, numEvents),
	}
	c.access = hook.To[K, V](hooks[K, V]{c})
	c.capacity.Store(int64(o.Capacity))
	// The clock begins at StaleFor, so that an entry of an earlier process that is still stale has
	// expired after the beginning.
	c.clock.base = time.Now().Add(-min(o.StaleFor, longestPast))
	c.clock.maxError, c.clock.hits = o.ClockError, c.stripes.hits
	c.second = newSecond(c, o.SecondLevel)
	c.callbacks.init(o.OnEviction, &c.counters, int64(o.Capacity), c.maxWeight)
	c.sweeper.init(sweepEvery, c.runSweep)
	c.shedder.init(shedEvery, c.runShed)
	c.heavyAbove = c.maxWeight / int64(len(c.shards)) / heavyDivisor
	newPolicy := c.policies(o.Policy)
	for i := range c.shards {
		c.shards[i].policy = newPolicy()
		c.shards[i].window = c.window
		c.shards[i].exact = o.Policy == StrictLRU
		if o.MaxWeight > 0 {
			c.shards[i].weightless = evict.NewLRU()
		}
		if o.Capacity > 0 {
			c.shards[i].index.fullBuckets = bucketsFor(o.Capacity/len(c.shards) + 1)
		}
		if o.StaleFor > 0 {
			c.shards[i].stale = &wheel[K, V]{delay: o.StaleFor, mark: inStale}
		}
		if o.NotFoundTTL > 0 {
			c.shards[i].missing = &missing[K]{size: max(1, o.MaxNotFound/len(c.shards))}
		}
	}
	if c.second != nil {
		c.second.watch()
	}
	return c, nil
}

// Get returns the fresh value stored for key, and whether there is one. It counts as a use
// of the entry. It does not block; only with [StrictLRU] it waits for the lock that writes take.
// [Cache.Peek] finds stale values, too.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	if e := c.lookup(key); e != nil {
		return e.value, true
	}
	return value, false
}

// lookup returns the fresh entry for key, or nil, and counts the hit or miss.
func (c *Cache[K, V]) lookup(key K) *entry[K, V] {
	s, hash := c.shardOf(key)
	e := s.index.find(hash, key)
	stripe := c.stripes.local()
	if e == nil {
		stripe.misses.Add(1)
		return nil
	}
	if expires := e.expiry(); expires != never && c.clock.reached(expires) {
		stripe.misses.Add(1)
		return nil
	}
	if n := stripe.hits.Add(1); n%lookEvery == 0 {
		c.look(s, e, stripe, n)
	}
	s.touch(e)
	return e
}

// Contains reports whether a fresh value is stored for key. Unlike Get it does not change
// Stats, and does not count as a use of the entry. It does not block.
func (c *Cache[K, V]) Contains(key K) bool {
	s, hash := c.shardOf(key)
	return c.fresh(s, hash, key) != nil
}

// Peek returns the value stored for key, fresh or stale, and the rest of its TTL, which is
// [Forever] if the entry does not expire. If the value is stale, ttl is negative: the time
// since its TTL ended. Unlike Get, Peek does not change Stats, and does not count as a use
// of the entry. It does not block.
func (c *Cache[K, V]) Peek(key K) (value V, ttl time.Duration, ok bool) {
	s, hash := c.shardOf(key)
	e := s.index.find(hash, key)
	switch {
	case e == nil || c.gone(e):
		return value, 0, false
	case e.expiry() == never:
		return e.value, Forever, true
	}
	ttl = time.Duration(e.expiry() - c.clock.now())
	if c.expired(e) {
		return e.value, min(-1, ttl), true
	}
	// By the coarse clock e may be fresh although its TTL has ended. Get returns it then, and so
	// does Peek, with a TTL above 0.
	return e.value, max(1, ttl), true
}

// Clear removes all entries, stale ones too. Loads that are under way do not store their
// results. An entry that is set while Clear runs may stay or go. Clear holds no lock for
// longer than a Set does, however many entries there are.
func (c *Cache[K, V]) Clear() {
	if c.second != nil { // first: a load that does not see this is forgotten by clear
		c.second.invalidate("")
	}
	c.clear(true)
}

// clear removes all entries. If ends is true, callers that wait for a load can't get their values
// any more.
func (c *Cache[K, V]) clear(ends bool) {
	now := c.clock.now()
	cleared := make([]*table[K, V], len(c.shards))
	for i := range c.shards {
		cleared[i] = c.clearShard(&c.shards[i], now, ends)
	}
	c.courier.ForgetAll()
	c.callbacks.start()
	for i, t := range cleared {
		cleared[i] = nil // so that it can be collected before the others are counted
		c.recordCleared(t, now)
	}
}

// clearShard empties s and returns the table of its entries, or nil if there were none.
func (c *Cache[K, V]) clearShard(s *shard[K, V], now int64, ends bool) *table[K, V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads.clear()
	s.changes.noteAll()
	s.missing.clear()
	s.writes.Add(1)
	if ends {
		s.clears++
	}
	count, light, heavy := s.size.Swap(0), s.light.Swap(0), s.heavy.Swap(0)
	weightless := count
	if s.weightless != nil {
		weightless = int64(s.weightless.Len())
	}
	held := s.clear()
	if held != nil && c.callbacks.call != nil {
		t := &clearedTable[K, V]{table: held, clearedAt: now, staleFor: c.staleFor}
		c.callbacks.enqueueCleared(t, int(count), light+heavy+weightless)
	}
	s.setTouchInterval(c.strict)
	c.heavy.Add(-heavy)
	c.addTotals(-count, -light-heavy)
	return held
}

// recordCleared counts those entries of t that were gone when Clear removed them, at now,
// and calls onChange and onRemoval for all of them. No lock is held.
func (c *Cache[K, V]) recordCleared(t *table[K, V], now int64) {
	if t == nil {
		return
	}
	for e := range t.entries {
		if e.goneBy(now, c.staleFor) {
			c.counters.expired.Add(1)
		}
		if c.onChange != nil {
			c.onChange(e.key)
		}
		if c.onRemoval != nil {
			c.onRemoval(e.key, e.value)
		}
	}
}

// Len returns the number of entries, including stale ones, and expired ones that are not
// reclaimed yet. It does not block.
func (c *Cache[K, V]) Len() int { return int(c.count.Load()) }

// All iterates over the fresh values in no particular order. No lock is held while the
// loop's body runs, so the body may use the cache. An entry that is stored or removed
// during the iteration may be seen or not. All does not change Stats, and does not
// count as a use of the entries.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range c.shards {
			for e := range c.shards[i].index.all {
				if !c.expired(e) && !yield(e.key, e.value) {
					return
				}
			}
		}
	}
}

// Keys iterates over the keys of All.
func (c *Cache[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for key := range c.All() {
			if !yield(key) {
				return
			}
		}
	}
}

// SetCapacity changes Options.Capacity. If the cache holds more entries than that, it evicts
// the others before SetCapacity returns. It returns an *[OptionError] if n is less than 1.
// The number of shards, and MaxNotFound, stay as they are.
func (c *Cache[K, V]) SetCapacity(n int) error {
	if n < 1 {
		return &OptionError{"Capacity", n, "1 or more"}
	}
	c.capacity.Store(int64(n))
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.index.fullBuckets = bucketsFor(n/len(c.shards) + 1)
		s.mu.Unlock()
	}
	for more := true; more; {
		var out evicted[K, V]
		more = c.evictFrom(nil, nil, &out)
		c.notify(out)
	}
	return nil
}

// closeGrace bounds how long Close waits for functions of the user: fetch functions,
// whose contexts it cancels, and OnEviction.
const closeGrace = time.Second

// Close removes all entries, ends the loads under way with ErrClosed and stops the
// cache's goroutines. It waits for fetch functions and for OnEviction for up to a
// second. If fetch functions still run then, it returns a *courier.ShutdownError; if
// OnEviction still runs, a *[CallbackError], and the remaining notifications are
// dropped; errors.As finds both. After Close, Get finds nothing, Set stores nothing and
// Fetch returns ErrClosed. A later Close returns nil once the functions have ended.
//
// A Close within OnEviction waits for itself, and so for the whole second.
func (c *Cache[K, V]) Close() error {
	c.closed.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	c.sweeper.stop()
	c.shedder.stop()
	c.clock.stop()
	// Loads end before the entries are removed, so that callers that wait get stale values.
	now, end := context.WithCancel(ctx)
	end()
	_ = c.courier.Shutdown(now) // does not wait; the second one reports what still runs
	c.clear(false)
	loads := c.courier.Shutdown(ctx)
	c.refresher.stop()
	sweeps := context.Background() // without functions of the user they end at once
	if c.onRemoval != nil {
		sweeps = ctx
	}
	var behind error
	if c.second != nil {
		behind = c.second.close(ctx)
	}
	return errors.Join(
		loads, c.sweeper.wait(sweeps), c.shedder.wait(sweeps), c.callbacks.stop(ctx), behind,
	)
}

// shardOf returns key's shard, and the hash by which the shard finds it. They come from different
// halves of the 64-bit hash, so that the keys of a shard have all hashes.
func (c *Cache[K, V]) shardOf(key K) (s *shard[K, V], hash uint32) {
	h := maphash.Comparable(c.seed, key)
	hash = uint32(h) & hashMask //nolint:gosec // the lower half
	return &c.shards[h>>32&uint64(len(c.shards)-1)], hash
}

// shardNumber returns the number of s.
func (c *Cache[K, V]) shardNumber(s *shard[K, V]) int {
	offset := uintptr(unsafe.Pointer(s)) - uintptr(unsafe.Pointer(&c.shards[0]))
	return int(offset / unsafe.Sizeof(*s))
}
