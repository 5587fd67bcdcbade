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

// ErrClosed is what Fetch returns after Close. It is courier.ErrClosed.
var ErrClosed = courier.ErrClosed

// A Cache maps keys to values, within a capacity and for a time, and loads
// missing values once. Make one with [New]. All methods are safe for
// concurrent use. A nil or zero value is a value like any other. A key that
// does not equal itself (NaN) is never stored.
type Cache[K comparable, V any] struct {
	ttl          time.Duration
	jitter       float64
	refreshAfter time.Duration
	capacity     int64
	maxWeight    int64
	weigher      func(K, V) uint32
	onLeft       func(K) // of package cluster; see package hook

	strict    bool // small shards follow uses at once
	compacts  bool
	shedAbove float64

	courier *courier.Courier[K, V]
	seed    maphash.Seed
	shards  []shard[K, V] // a power of two
	stripes stripes
	clock   clock

	// Totals over the shards. Changed with the changing shard locked, and only
	// if its total changed: an insertion that evicts writes neither.
	count  atomic.Int64
	weight atomic.Int64
	heavy  atomic.Int64 // the part of weight that is of entries above heavyAbove

	heavyAbove int64         // the weight above which an entry does not count for its shard
	window     *evict.Window // of TinyLFU; else nil

	closed    atomic.Bool
	sweeper   periodic
	shedder   periodic
	memory    func() memory // readMemory, but in tests
	lastGC    uint64        // garbage collections that the shedder has seen; its goroutine's
	refresher refresher[K, V]
	callbacks callbacks[K, V]
	counters  counters
}

// New makes a Cache. The error is an *[OptionError] that names the field and
// the value, or a *courier.OptionError.
//
// A cache that holds entries with a TTL, or refreshes, has goroutines; Close
// stops them.
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

// Get returns the value stored for key. It does not block.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	if e := c.lookup(key); e != nil {
		return e.value, true
	}
	return value, false
}

// lookup finds the live entry for key and counts the hit or miss.
func (c *Cache[K, V]) lookup(key K) *entry[K, V] {
	s, hash := c.shardOf(key)
	e := s.index.find(hash, key)
	mine := c.stripes.local()
	if e == nil {
		mine.misses.Add(1)
		return nil
	}
	if expires := e.expiry(); expires != never {
		if c.clock.reached(expires) {
			mine.misses.Add(1)
			return nil
		}
		if mine.hits.Load()%adaptEvery == 0 {
			c.clock.adapt(mine)
		}
	}
	mine.hits.Add(1)
	s.touch(e)
	return e
}

// Peek returns the value stored for key and how much longer it will be stored:
// 0 if until it is evicted. Unlike Get it counts nothing, and does not make the
// entry look used. It does not block.
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
	// Get gives what is in its last instants: so does Peek.
	return e.value, max(1, time.Duration(expires-c.clock.now())), true
}

// Set stores value for key, with the TTL of the options. A load of key that is
// under way will not overwrite it.
func (c *Cache[K, V]) Set(key K, value V) { c.SetTTL(key, value, c.ttl) }

// SetTTL stores value for key, for ttl (less the options' TTLJitter) or, if ttl
// is 0, until it is evicted. A negative ttl has passed already: the key is
// deleted.
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

// Delete removes key and reports whether it was there. A load of key that is
// under way will not bring it back.
func (c *Cache[K, V]) Delete(key K) bool {
	// Before the lock is taken: a key that holds an uncomparable value panics
	// here, in its caller, and leaves no lock behind.
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

// Clear removes every entry. Loads that are under way will not bring any back.
// An entry that is set while Clear runs may stay or go. It holds no lock for
// longer than a Set does, however many entries there are.
func (c *Cache[K, V]) Clear() {
	now := c.clock.now()
	cleared := make([]*table[K, V], len(c.shards))
	for i := range c.shards {
		cleared[i] = c.clearShard(&c.shards[i], now)
	}
	c.courier.ForgetAll()
	c.callbacks.start()
	for i, t := range cleared {
		cleared[i] = nil // it is garbage once it has been gone through
		c.recordCleared(t, now)
	}
}

// clearShard empties s and returns the table of what it held, or nil.
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
		c.callbacks.enqueueCleared(&clearedTable[K, V]{table: held, clearedAt: now}, int(count), light+heavy+weightless)
	}
	s.setTouchInterval(c.strict)
	c.heavy.Add(-heavy)
	c.addTotals(-count, -light-heavy)
	return held
}

// countCleared counts what Clear removed at now and had expired, and finishes its
// departure. No lock is held.
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

// Len is the number of entries, including those that have expired but are not
// reclaimed yet.
func (c *Cache[K, V]) Len() int { return int(c.count.Load()) }

// All iterates over the live entries in no particular order. It is weakly
// consistent: it locks nothing while the loop's body runs, and an entry that is
// stored or removed meanwhile may be seen or not. It does not count as use:
// neither Stats nor recency change.
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

// closeGrace bounds how long Close waits for functions of the user: for fetch
// functions to heed their contexts, and for OnEviction.
const closeGrace = time.Second

// Close removes all entries, ends the loads under way with ErrClosed and stops
// the cache's goroutines. It waits for fetch functions and for OnEviction for up to
// a second, and returns a *courier.ShutdownError if fetch functions run on, and a
// *[CallbackError] if OnEviction does: what it was not called for by then is dropped.
// After it, Get finds nothing, Set stores nothing and Fetch returns ErrClosed. A
// second Close returns nil once the functions have ended.
//
// A Close within OnEviction waits for that second, since it waits for itself.
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

// shardOf is the shard of key, and what that knows it by: the two halves of a
// hash choose them.
func (c *Cache[K, V]) shardOf(key K) (s *shard[K, V], hash uint32) {
	h := maphash.Comparable(c.seed, key)
	return &c.shards[h>>32&uint64(len(c.shards)-1)], uint32(h) & hashMask //nolint:gosec // the lower half
}
