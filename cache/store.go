package cache

import "time"

// weigh returns what the user says of a value's weight. It may panic or take long: no
// lock is held, and a load is not registered as ended.
func (c *Cache[K, V]) weigh(key K, value V) uint32 {
	if c.weigher == nil {
		return 0
	}
	return c.weigher(key, value)
}

// store puts a value into the cache: s and hash are its key's. If l is not nil the
// value is the result of that load, and is stored only if nothing newer happened to
// the key; in any case that is the end of l's registration.
func (c *Cache[K, V]) store(
	s *shard[K, V], hash uint32, key K, value V, weight uint32, ttl time.Duration, l *load[K],
) {
	if !equalsItself(key) {
		return
	}
	e := c.newEntry(hash, key, value, weight, ttl)
	var out departures[K, V]

	s.mu.Lock()
	superseded := l != nil && !s.loads.has(l)
	if !superseded {
		s.loads.remove(hash, key)
	}
	if superseded || c.closed.Load() {
		s.mu.Unlock()
		return
	}
	c.put(s, e, &out)
	s.mu.Unlock()

	c.makeRoom(s, e, &out)
	if e.expiry() != never {
		c.sweeper.start()
	}
	if c.shedAbove > 0 {
		c.shedder.start()
	}
	c.tell(out)
}

// put stores e in place of whatever its key had, and makes room in its shard
// if that holds more than its share. s.mu is held.
func (c *Cache[K, V]) put(s *shard[K, V], e *entry[K, V], out *departures[K, V]) {
	old := s.index.find(e.Hash&hashMask, e.key)
	replaces := old != nil
	if c.maxWeight > 0 && int64(e.Weight) > c.maxWeight {
		// It can't be stored. The old value must not stay: it is outdated.
		c.counters.rejected.Add(1)
		if replaces {
			c.remove(s, old, c.reasonFor(old, ReasonReplaced), out)
		}
		return
	}
	s.insert(e, old)
	count, weight := int64(1), int64(e.Weight)
	if replaces {
		c.depart(old, c.reasonFor(old, ReasonReplaced), out)
		count, weight = 0, weight-int64(old.Weight)
	}
	for c.exceeds(count, weight) && c.overShare(s) {
		victim := c.victim(s, e)
		if victim == nil {
			break
		}
		s.drop(victim)
		c.depart(victim, c.reasonFor(victim, ReasonSize), out)
		count, weight = count-1, weight-int64(victim.Weight)
	}
	s.setLag(c.strict)
	c.addTotals(count, weight)
}

// remove takes e out. s.mu is held.
func (c *Cache[K, V]) remove(s *shard[K, V], e *entry[K, V], reason Reason, out *departures[K, V]) {
	s.drop(e)
	s.setLag(c.strict)
	if c.compacts {
		s.index.shrink()
	}
	c.addTotals(-1, -int64(e.Weight))
	c.depart(e, reason, out)
}

func (c *Cache[K, V]) addTotals(count, weight int64) {
	if count != 0 {
		c.count.Add(count)
	}
	if weight != 0 {
		c.weight.Add(weight)
	}
}

// exceeds reports whether the cache would be too full with that much more.
func (c *Cache[K, V]) exceeds(count, weight int64) bool {
	return c.capacity > 0 && c.count.Load()+count > c.capacity ||
		c.maxWeight > 0 && c.weight.Load()+weight > c.maxWeight
}

// overShare reports whether s holds more than its part of the whole.
func (c *Cache[K, V]) overShare(s *shard[K, V]) bool {
	n := int64(len(c.shards))
	return c.capacity > 0 && s.size.Load() > c.capacity/n ||
		c.maxWeight > 0 && s.heft.Load() > c.maxWeight/n
}

// victim is the entry of s that goes first, other than spared; nil if there is
// none. s.mu is held.
func (c *Cache[K, V]) victim(s *shard[K, V], spared *entry[K, V]) *entry[K, V] {
	if s.expiring.n > 0 {
		if e := s.expiring.expired(c.clock.roughly()); e != nil && e != spared {
			return e
		}
	}
	return entryOf[K, V](s.policy.Victim(spared.node()))
}

// makeRoom evicts from the fullest shards while the cache is too full. It is
// called without locks after e was stored: e's own shard is within its share,
// or has nothing left to give but e, so another one has to.
func (c *Cache[K, V]) makeRoom(own *shard[K, V], e *entry[K, V], out *departures[K, V]) {
	var given *shard[K, V] // e's own, once e is all that it holds
	for c.exceeds(0, 0) {
		s := c.fullest(given)
		if s == nil {
			return
		}
		s.mu.Lock()
		if victim := c.victim(s, e); victim != nil {
			c.remove(s, victim, c.reasonFor(victim, ReasonSize), out)
		} else if s == own {
			given = s
		}
		s.mu.Unlock()
	}
}

// fullest is the shard, other than except, that holds most of what there is
// too much of; nil if none holds anything.
func (c *Cache[K, V]) fullest(except *shard[K, V]) *shard[K, V] {
	byWeight := c.maxWeight > 0 && c.weight.Load() > c.maxWeight
	var best *shard[K, V]
	most := int64(0)
	for i := range c.shards {
		s := &c.shards[i]
		if s == except {
			continue
		}
		held := s.size.Load()
		if byWeight {
			held = s.heft.Load()
		}
		if held > most {
			best, most = s, held
		}
	}
	return best
}

// equalsItself is false for keys such as NaN, which no map can find again.
func equalsItself[K comparable](key K) bool {
	return key == key //nolint:gocritic // false for NaN: that is the question
}
