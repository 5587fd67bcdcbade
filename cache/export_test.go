package cache

import (
	"errors"
	"fmt"
	"time"
)

// What tests of the package's surface need from inside.

const (
	SweepEvery  time.Duration = sweepEvery
	SweepAgain  time.Duration = sweepAgain
	SweepBudget               = sweepBudget
	StrictBelow               = strictBelow
)

// Sweep is one tick of the background sweep.
func (c *Cache[K, V]) Sweep() (more bool) { return c.sweep() }

// Shards is how many shards there are.
func (c *Cache[K, V]) Shards() int { return len(c.shards) }

// Weight is the total weight.
func (c *Cache[K, V]) Weight() int64 { return c.weight.Load() }

// Loads is how many loads are registered.
func (c *Cache[K, V]) Loads() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.loads)
		s.mu.Unlock()
	}
	return n
}

// Audit compares the books, which are kept in several places, and returns how
// they differ. It stops all writers meanwhile, but must not meet one between
// its insertion and the eviction that makes room for it.
func (c *Cache[K, V]) Audit() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("audit: "+format, args...)) }
	for i := range c.shards {
		c.shards[i].mu.Lock()
	}
	defer func() {
		for i := range c.shards {
			c.shards[i].mu.Unlock()
		}
	}()
	var count, weight int64
	for i := range c.shards {
		s := &c.shards[i]
		var heft int64
		expiring := 0
		for _, key := range s.recency.Keys() {
			e, _ := s.recency.Peek(key)
			if stored, ok := c.entries.Load(key); !ok || stored != e {
				bad("shard %d: %v is in the order of eviction but not in the map", i, key)
			}
			if e.shard != s || c.shardOf(key) != s {
				bad("shard %d: %v belongs to another shard", i, key)
			}
			if (e.expires == never) != (e.heapAt < 0) {
				bad("shard %d: %v expires at %d, but its place in the order of expiry is %d", i, key, e.expires, e.heapAt)
			}
			if e.heapAt >= 0 {
				expiring++
				if int(e.heapAt) >= len(s.expiring) || s.expiring[e.heapAt] != e {
					bad("shard %d: %v is not at its place %d in the order of expiry", i, key, e.heapAt)
				}
			}
			heft += int64(e.weight)
		}
		for at, e := range s.expiring {
			if parent := s.expiring[max(0, at-1)/2]; parent.expires > e.expires {
				bad("shard %d: place %d expires before its parent", i, at)
			}
		}
		if expiring != len(s.expiring) {
			bad("shard %d: %d entries can expire, the order of expiry has %d", i, expiring, len(s.expiring))
		}
		if n := s.size.Load(); n != int64(s.recency.Len()) {
			bad("shard %d: size %d, entries %d", i, n, s.recency.Len())
		}
		if n := s.heft.Load(); n != heft {
			bad("shard %d: heft %d, weights %d", i, n, heft)
		}
		count += int64(s.recency.Len())
		weight += heft
	}
	if n := c.count.Load(); n != count {
		bad("count %d, entries %d", n, count)
	}
	if n := int64(c.entries.Size()); n != count {
		bad("the map has %d entries, the shards %d", n, count)
	}
	if n := c.weight.Load(); n != weight {
		bad("weight %d, weights %d", n, weight)
	}
	if c.capacity > 0 && count > c.capacity {
		bad("%d entries, capacity %d", count, c.capacity)
	}
	if c.maxWeight > 0 && weight > c.maxWeight {
		bad("weight %d, at most %d", weight, c.maxWeight)
	}
	return errors.Join(errs...)
}

// ExpiryRoom is how many entries the orders of expiry have room for.
func (c *Cache[K, V]) ExpiryRoom() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += cap(s.expiring)
		s.mu.Unlock()
	}
	return n
}
