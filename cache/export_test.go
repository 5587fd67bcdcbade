package cache

import (
	"errors"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache/internal/evict"
)

// This file exports what the tests of package cache_test need.

const (
	SweepEvery      time.Duration = sweepEvery
	SweepAgain      time.Duration = sweepAgain
	SweepBudget                   = sweepBudget
	StrictBelow                   = strictBelow
	MaxRefreshes                  = maxRefreshes
	MaxRefreshQueue               = maxRefreshQueue
)

// ErrDied is the error of a load whose panic or Goexit no caller waited for.
var ErrDied = errDied

// Sweep runs one background sweep.
func (c *Cache[K, V]) Sweep() (more bool) { return c.sweep() }

// Shards returns the number of shards.
func (c *Cache[K, V]) Shards() int { return len(c.shards) }

// ShardOf returns the number of the shard of key.
func (c *Cache[K, V]) ShardOf(key K) int {
	s, _ := c.shardOf(key)
	for i := range c.shards {
		if s == &c.shards[i] {
			return i
		}
	}
	return -1
}

// LockShard locks the shard of that number, and returns the function that unlocks it.
func (c *Cache[K, V]) LockShard(i int) (unlock func()) {
	c.shards[i].mu.Lock()
	return c.shards[i].mu.Unlock
}

// Holds reports whether the cache holds an entry of key, even one past its TTL and StaleFor.
func (c *Cache[K, V]) Holds(key K) bool {
	s, hash := c.shardOf(key)
	return s.index.find(hash, key) != nil
}

// Weight returns the total weight.
func (c *Cache[K, V]) Weight() int64 { return c.weight.Load() }

// Loads returns the number of registered loads.
func (c *Cache[K, V]) Loads() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.loads.n
		s.mu.Unlock()
	}
	return n
}

// NotFoundKeys returns the number of keys that are remembered as not found.
func (c *Cache[K, V]) NotFoundKeys() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		if s.missing != nil && s.missing.byKey != nil {
			n += s.missing.byKey.Len()
		}
		s.mu.Unlock()
	}
	return n
}

// Tables returns the sizes of the internal tables by name: the things in them, and the room that they
// have.
func (c *Cache[K, V]) Tables() map[string]int {
	sizes := map[string]int{
		"entries": c.Len(), "loads": c.Loads(), "not found": c.NotFoundKeys(), "expiry room": c.ExpiryRoom(),
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		if t := s.index.table.Load(); t != nil {
			sizes["index room"] += bucketSlots * len(t.buckets)
		}
		if s.stale != nil {
			sizes["stale entries"] += s.stale.n
			sizes["stale room"] += s.stale.room()
		}
		sizes["tags"] += len(s.tags)
		for _, set := range s.tags {
			sizes["tag room"] += cap(set.entries)
		}
		sizes["load room"] += len(s.loads.chains)
		s.mu.Unlock()
	}
	c.invalidated.mu.Lock()
	sizes["invalidations"] = cap(c.invalidated.last)
	c.invalidated.mu.Unlock()
	c.refresher.mu.Lock()
	sizes["refreshes"] = c.refresher.running + len(c.refresher.queue)
	c.refresher.mu.Unlock()
	for range c.courier.Resting() {
		sizes["resting keys"]++
	}
	flights := c.courier.Stats()
	sizes["flights"], sizes["abandoned"] = flights.InFlight, flights.Abandoned
	return sizes
}

// Audit compares the cache's counters and structures with each other, and returns the differences.
// It blocks all writers. It must not run between an insertion and the eviction that makes room for
// it.
func (c *Cache[K, V]) Audit() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("audit: "+format, args...))
	}
	for i := range c.shards {
		c.shards[i].mu.Lock()
	}
	defer func() {
		for i := range c.shards {
			c.shards[i].mu.Unlock()
		}
	}()
	var count, weight, allHeavy int64
	for i := range c.shards {
		s := &c.shards[i]
		var light, heavy int64
		expiring, stale, borne, held := 0, 0, 0, 0
		for n := range s.nodes {
			e := entryOf[K, V](n)
			key := e.key
			own, hash := c.shardOf(key)
			if own != s || hash != e.Hash&hashMask {
				bad("shard %d: %v belongs to another shard", i, key)
			}
			if s.index.find(hash, key) != e {
				bad("shard %d: %v is in the order of eviction but not in the index", i, key)
			}
			if e.scheduled() {
				w := &s.expiring
				if e.timed().bucket&inStale != 0 {
					w = s.stale
					stale++
				} else {
					expiring++
				}
				if t := e.timed(); w.holder(t.bucket)[t.pos] != e {
					bad("shard %d: %v is not at its place %d of bucket %d in the order of expiry", i, key, t.pos,
						t.bucket)
				}
			}
			if e.kind() == tagged {
				for _, ref := range e.tagged().tags {
					borne++
					if ref.set.entries[ref.pos] != e {
						bad("shard %d: %v is not at its place %d of tag %q", i, key, ref.pos, ref.set.tag)
					}
				}
			}
			if w := int64(e.Weight); w > c.heavyAbove {
				heavy += w
			} else {
				light += w
			}
			held++
		}
		if err := s.expiring.audit(); err != nil {
			bad("shard %d: %v", i, err)
		}
		if expiring != s.expiring.n {
			bad("shard %d: %d entries can expire, the order of expiry has %d", i, expiring, s.expiring.n)
		}
		if s.stale != nil {
			if err := s.stale.audit(); err != nil {
				bad("shard %d, stale: %v", i, err)
			}
			if stale != s.stale.n {
				bad("shard %d: %d entries are stale, their order has %d", i, stale, s.stale.n)
			}
		}
		for tag, set := range s.tags {
			borne -= len(set.entries)
			if len(set.entries) == 0 || set.tag != tag {
				bad("shard %d: the set of tag %q has %d entries and is of %q", i, tag, len(set.entries),
					set.tag)
			}
			if room := cap(set.entries); room > max(2*minTagRoom, 5*len(set.entries)) {
				bad("shard %d: the set of tag %q has room for %d entries and %d of them", i, tag, room,
					len(set.entries))
			}
		}
		if borne != 0 {
			bad("shard %d: entries bear %d tags more than the sets have entries", i, borne)
		}
		if n := s.size.Load(); n != int64(held) || held != s.ordered() || held != s.index.n {
			bad("shard %d: size %d, index %d, policy %d, entries %d", i, n, s.index.n, s.ordered(), held)
		}
		if err := s.index.audit(); err != nil {
			bad("shard %d: %v", i, err)
		}
		if l, h := s.light.Load(), s.heavy.Load(); l != light || h != heavy {
			bad("shard %d: weights %d and %d, of the entries %d and %d", i, l, h, light, heavy)
		}
		allHeavy += heavy
		count += int64(held)
		weight += light + heavy
	}
	if n := c.count.Load(); n != count {
		bad("count %d, entries %d", n, count)
	}
	if n := c.weight.Load(); n != weight {
		bad("weight %d, weights %d", n, weight)
	}
	if n := c.heavy.Load(); n != allHeavy {
		bad("weight of heavy entries %d, of the entries %d", n, allHeavy)
	}
	if capacity := c.capacity.Load(); capacity > 0 && count > capacity {
		bad("%d entries, capacity %d", count, capacity)
	}
	if c.maxWeight > 0 && weight > c.maxWeight {
		bad("weight %d, at most %d", weight, c.maxWeight)
	}
	return errors.Join(errs...)
}

// nodes yields the nodes of the eviction orders.
func (s *shard[K, V]) nodes(yield func(*evict.Node) bool) {
	orders := []evict.Policy{s.policy}
	if s.weightless != nil {
		orders = append(orders, s.weightless)
	}
	for _, order := range orders {
		for n := range order.All {
			if !yield(n) {
				return
			}
		}
	}
}

// ordered returns the number of entries in the eviction orders.
func (s *shard[K, V]) ordered() (n int) {
	for range s.nodes {
		n++
	}
	return n
}

// ExpiryRoom returns the number of entries for which the wheels have room.
func (c *Cache[K, V]) ExpiryRoom() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.expiring.room()
		s.mu.Unlock()
	}
	return n
}

// room returns the number of entries for which there is room.
func (w *wheel[K, V]) room() int {
	n := cap(w.due)
	for _, l := range w.levels {
		if l != nil {
			for slot := range l.buckets {
				n += cap(l.buckets[slot])
			}
		}
	}
	return n
}

// holder returns the bucket with that id.
func (w *wheel[K, V]) holder(id uint32) []*entry[K, V] {
	id &^= inStale
	if id == dueBucket {
		return w.due
	}
	return w.levels[id/wheelSlots].buckets[id%wheelSlots]
}

// audit checks that the wheel's entries are in the right buckets.
func (w *wheel[K, V]) audit() error {
	n := len(w.due)
	moving := 0
	for level, l := range w.levels {
		if l == nil {
			continue
		}
		for slot := range l.buckets {
			b := l.buckets[slot]
			if (len(b) > 0) != (l.occupied>>slot&1 == 1) {
				return fmt.Errorf("audit: slot %d of level %d has %d entries and bits %b", slot, level, len(b),
					l.occupied)
			}
			n += len(b)
			shift := slotBits * level
			present := w.tick>>shift%wheelSlots == int64(slot)
			if present && len(b) > 0 {
				moving++
			}
			for _, e := range b {
				tick := w.timeOf(e.timed()) >> tickBits
				late := tick <= w.tick && (!w.draining || !present)
				if late || tick>>shift/wheelSlots != w.tick>>shift/wheelSlots ||
					tick>>shift%wheelSlots != int64(slot) {
					return fmt.Errorf("audit: at tick %d, what expires at %d is in slot %d of level %d", w.tick,
						e.expiry(), slot, level)
				}
			}
		}
	}
	if moving > 1 || moving == 1 && !w.draining {
		return fmt.Errorf("audit: at tick %d, %d buckets have been reached and not emptied (%t)", w.tick,
			moving, w.draining)
	}
	if n != w.n {
		return fmt.Errorf("audit: the wheel has %d entries and counts %d", n, w.n)
	}
	return nil
}

// audit counts the index's entries and those that went past each bucket.
func (x *index[K, V]) audit() error {
	t := x.table.Load()
	if t == nil {
		return nil
	}
	n := 0
	past := make([]uint64, len(t.buckets))
	for at := range t.buckets {
		tags := t.buckets[at].tags.Load()
		for slot := range bucketSlots {
			e := t.buckets[at].slots[slot].Load()
			tag := tags >> (8 * slot) & 0xff
			if e == nil && tag == 0 {
				continue
			}
			if e == nil || tag != tagOf(e.Hash&hashMask)&0xff {
				return fmt.Errorf("audit: slot %d of bucket %d has tag %#x and entry %v", slot, at, tag, e)
			}
			n++
			for p := t.home(e.Hash & hashMask); p != at; p = (p + 1) % len(t.buckets) {
				past[p]++
			}
		}
	}
	for at, want := range past {
		if got := t.buckets[at].tags.Load() / overflowOne; got != want && got != overflowMax {
			return fmt.Errorf("audit: %d entries went past bucket %d, which counts %d", want, at, got)
		}
	}
	if n != x.n {
		return fmt.Errorf("audit: the index has %d entries and counts %d", n, x.n)
	}
	return nil
}
