package cache

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/cache/internal/evict"
	"github.com/snowfence/snowfence/courier"
)

// ErrClosed is returned by Fetch after Close. It equals courier.ErrClosed.
var ErrClosed = courier.ErrClosed

// A Cache stores values by key, up to a capacity and for a time to live, and loads
// each missing value once. Make one with [New]. All methods are safe for concurrent
// use. Nil and zero values are stored like any other. A key that does not equal
// itself (NaN) is never stored.
type Cache[K comparable, V any] struct {
	ttl          time.Duration
	jitter       float64
	refreshAfter time.Duration
	capacity     int64
	maxWeight    int64
	weigher      func(K, V) uint32
	onLeft       func(K) // set by package cluster; see package hook

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
	count  atomic.Int64
	weight atomic.Int64
	heavy  atomic.Int64 // the part of weight in entries above heavyAbove

	heavyAbove int64         // an entry above this weight does not count towards its shard's share
	window     *evict.Window // nil unless the policy is TinyLFU

	closed    atomic.Bool
	sweeper   periodic
	shedder   periodic
	memory    func() memory // readMemory, replaced by tests
	lastGC    uint64        // the last garbage collection seen; only the shedder's goroutine uses it
	refresher refresher[K, V]
	callbacks callbacks[K, V]
	counters  counters
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
		ttl:          cmp.Or(o.TTL, Forever),
		jitter:       o.TTLJitter,
		refreshAfter: o.RefreshAfter,
		capacity:     int64(o.Capacity),
		maxWeight:    int64(o.MaxWeight), //nolint:gosec // validated
		weigher:      o.Weigher,
		strict:       o.Policy == LRU,
		compacts:     !o.NoCompaction,
		shedAbove:    o.ShedAbove,
		courier:      courier.New[K, V](o.Courier...),
		seed:         maphash.MakeSeed(),
		shards:       make([]shard[K, V], o.shardCount()),
		stripes:      newStripes(),
		memory:       readMemory,
	}
	c.clock.base, c.clock.maxError, c.clock.hits = time.Now(), o.ClockError, c.stripes.hits
	c.callbacks.init(o.OnEviction, &c.counters, c.capacity, c.maxWeight)
	c.sweeper.init(sweepEvery, c.runSweep)
	c.shedder.init(shedEvery, c.runShed)
	c.heavyAbove = c.maxWeight / int64(len(c.shards)) / heavyDivisor
	newPolicy := c.policies(o.Policy)
	for i := range c.shards {
		c.shards[i].policy = newPolicy()
		if o.MaxWeight > 0 {
			c.shards[i].weightless = evict.NewLRU()
		}
		if o.Capacity > 0 {
			c.shards[i].index.fullBuckets = bucketsFor(o.Capacity/len(c.shards) + 1)
		}
	}
	return c, nil
}

// Get returns the value stored for key, and whether there is one. It counts as a use
// of the entry. It does not block.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	if e := c.lookup(key); e != nil {
		return e.value, true
	}
	return value, false
}

// lookup returns the live entry for key, or nil, and counts the hit or miss.
func (c *Cache[K, V]) lookup(key K) *entry[K, V] {
	s, hash := c.shardOf(key)
	e := s.index.find(hash, key)
	stripe := c.stripes.local()
	if e == nil {
		stripe.misses.Add(1)
		return nil
	}
	if expires := e.expiry(); expires != never {
		if c.clock.reached(expires) {
			stripe.misses.Add(1)
			return nil
		}
		if stripe.hits.Load()%adaptEvery == 0 {
			c.clock.adapt(stripe)
		}
	}
	stripe.hits.Add(1)
	s.touch(e)
	return e
}

// Peek returns the value stored for key and the rest of its TTL, which is 0 if the
// entry does not expire. Unlike Get it does not change Stats, and does not count as
// a use of the entry. It does not block.
func (c *Cache[K, V]) Peek(key K) (value V, ttl time.Duration, ok bool) {
	s, hash := c.shardOf(key)
	e := s.index.find(hash, key)
	if e == nil {
		return value, 0, false
	}
	expires := e.expiry()
	if expires == never {
		return e.value, 0, true
	}
	if c.clock.reached(expires) {
		return value, 0, false
	}
	// The coarse clock may show e as live although its time is up: as Get returns
	// it then, so does Peek, with a TTL above 0.
	return e.value, max(1, time.Duration(expires-c.clock.now())), true
}

// Set stores value for key with Options.TTL. A load of key that is under way does not
// overwrite it. Set waits for no load; it calls Weigher, if there is one.
func (c *Cache[K, V]) Set(key K, value V) { c.SetTTL(key, value, c.ttl) }

// SetTTL stores value for key as Set does, but for ttl, less Options.TTLJitter. If ttl
// is 0, the entry does not expire. If ttl is negative, SetTTL deletes the key.
func (c *Cache[K, V]) SetTTL(key K, value V, ttl time.Duration) {
	if ttl < 0 {
		c.Delete(key)
		return
	}
	ttl = cmp.Or(ttl, Forever)
	s, hash := c.shardOf(key)
	c.store(s, hash, key, value, c.weigh(key, value), ttl, nil)
	c.courier.Forget(key)
}

// Delete removes key and reports whether a live entry was stored for it. A load of key
// that is under way does not store its result.
func (c *Cache[K, V]) Delete(key K) bool {
	// Checked before locking: an interface key with an uncomparable value panics
	// here, and must not leave the shard locked.
	if !equalsItself(key) {
		return false
	}
	s, hash := c.shardOf(key)
	var out evicted[K, V]
	s.mu.Lock()
	s.loads.remove(hash, key)
	e := s.index.find(hash, key)
	live := e != nil && !c.expired(e)
	if e != nil {
		c.remove(s, e, c.reasonFor(e, ReasonDeleted), &out)
	}
	s.mu.Unlock()
	c.courier.Forget(key)
	c.notify(out)
	return live
}

// Clear removes all entries. Loads that are under way do not store their results. An
// entry that is set while Clear runs may stay or go. Clear holds no lock for longer
// than a Set does, however many entries there are.
func (c *Cache[K, V]) Clear() {
	now := c.clock.now()
	cleared := make([]*table[K, V], len(c.shards))
	for i := range c.shards {
		cleared[i] = c.clearShard(&c.shards[i], now)
	}
	c.courier.ForgetAll()
	c.callbacks.start()
	for i, t := range cleared {
		cleared[i] = nil // so that it can be collected before the others are counted
		c.recordCleared(t, now)
	}
}

// clearShard empties s and returns the table of its entries, or nil if there were none.
func (c *Cache[K, V]) clearShard(s *shard[K, V], now int64) *table[K, V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads.clear()
	count, light, heavy := s.size.Swap(0), s.light.Swap(0), s.heavy.Swap(0)
	weightless := count
	if s.weightless != nil {
		weightless = int64(s.weightless.Len())
	}
	held := s.clear()
	if held != nil && c.callbacks.call != nil {
		t := &clearedTable[K, V]{table: held, clearedAt: now}
		c.callbacks.enqueueCleared(t, int(count), light+heavy+weightless)
	}
	s.setTouchInterval(c.strict)
	c.heavy.Add(-heavy)
	c.addTotals(-count, -light-heavy)
	return held
}

// recordCleared counts those entries of t that had expired when Clear removed them, at
// now, and calls onLeft for all of them. No lock is held.
func (c *Cache[K, V]) recordCleared(t *table[K, V], now int64) {
	if t == nil {
		return
	}
	for e := range t.entries {
		if e.expiry() <= now {
			c.counters.expired.Add(1)
		}
		if c.onLeft != nil {
			c.onLeft(e.key)
		}
	}
}

// Len returns the number of entries, including expired ones that are not reclaimed
// yet. It does not block.
func (c *Cache[K, V]) Len() int { return int(c.count.Load()) }

// All iterates over the live entries in no particular order. No lock is held while the
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
	c.Clear()
	loads := c.courier.Shutdown(ctx)
	c.refresher.stop()
	c.sweeper.wait()
	c.shedder.wait()
	return errors.Join(loads, c.callbacks.stop(ctx))
}

// shardOf returns key's shard, and the hash by which the shard finds it. Each comes from
// a half of its own of the 64-bit hash, so that the keys of a shard have all hashes.
func (c *Cache[K, V]) shardOf(key K) (s *shard[K, V], hash uint32) {
	h := maphash.Comparable(c.seed, key)
	hash = uint32(h) & hashMask //nolint:gosec // the lower half
	return &c.shards[h>>32&uint64(len(c.shards)-1)], hash
}
