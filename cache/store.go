package cache

import "time"

// weigh returns the weight of a value by Options.Weigher, 0 without one. The Weigher may
// panic or block, so weigh is called without locks, and before a load has ended.
func (c *Cache[K, V]) weigh(key K, value V) uint32 {
	if c.weigher == nil {
		return 0
	}
	return c.weigher(key, value)
}

// store stores a value in the cache. s and hash are those of key. A nil l means that the
// user sets the value, which supersedes the key's load. Otherwise the value is l's result,
// and is stored only if l is still registered. l is not registered afterwards.
func (c *Cache[K, V]) store(
	s *shard[K, V], hash uint32, key K, value V, weight uint32, ttl time.Duration, l *load[K],
) {
	if !equalsItself(key) {
		return
	}
	e := c.newEntry(hash, key, value, weight, ttl)
	var out evicted[K, V]

	s.mu.Lock()
	superseded := l != nil && !s.loads.has(l)
	if !superseded {
		s.loads.remove(hash, key)
	}
	if superseded || c.closed.Load() {
		s.mu.Unlock()
		return
	}
	before := s.clock.Load()
	c.put(s, e, &out)
	inserted := s.clock.Load() // the insertions into s since the cache was made
	s.mu.Unlock()

	if c.window != nil && inserted != before && inserted%c.observeEvery() == 0 {
		c.window.Observe()
	}

	c.makeRoom(s, e, &out)
	if e.scheduled() {
		c.sweeper.start()
	}
	if c.shedAbove > 0 && c.clock.approx() >= 0 { // not in a synctest bubble, see clock
		c.shedder.start()
	}
	c.notify(out)
}

// put stores e, replaces the entry of its key, if any, and makes room in s as far as s
// holds more than its share. s.mu is held.
func (c *Cache[K, V]) put(s *shard[K, V], e *entry[K, V], out *evicted[K, V]) {
	old := s.index.find(e.Hash&hashMask, e.key)
	replaces := old != nil
	if c.maxWeight > 0 && int64(e.Weight) > c.maxWeight {
		// The old value is outdated, although the new one cannot be stored.
		c.counters.rejected.Add(1)
		if replaces {
			c.remove(s, old, c.reasonFor(old, ReasonReplaced), out)
		}
		return
	}
	s.insert(e, old)
	c.addWeight(s, int64(e.Weight))
	count, weight := int64(1), int64(e.Weight)
	if replaces {
		c.addWeight(s, -int64(old.Weight))
		c.record(old, c.reasonFor(old, ReasonReplaced), out)
		count, weight = 0, weight-int64(old.Weight)
	}
	for {
		victim := c.localVictim(s, e, count, weight)
		if victim == nil {
			break
		}
		c.drop(s, victim)
		c.record(victim, c.reasonFor(victim, ReasonSize), out)
		count, weight = count-1, weight-int64(victim.Weight)
	}
	s.setTouchInterval(c.strict)
	c.addTotals(count, weight)
}

// remove removes e and records its reason. s.mu is held.
func (c *Cache[K, V]) remove(s *shard[K, V], e *entry[K, V], reason Reason, out *evicted[K, V]) {
	c.drop(s, e)
	s.setTouchInterval(c.strict)
	if c.compacts {
		s.index.shrink()
	}
	c.addTotals(-1, -int64(e.Weight))
	c.record(e, reason, out)
}

// drop removes e from s and subtracts its weight there. s.mu is held.
func (c *Cache[K, V]) drop(s *shard[K, V], e *entry[K, V]) {
	s.drop(e)
	c.addWeight(s, -int64(e.Weight))
}

// heavyDivisor sets the weight above which an entry is heavy: this fraction of a shard's
// share of MaxWeight, an eighth. A heavy entry takes room from all shards alike, since it
// does not count towards its shard's share. Otherwise all other entries of its shard would
// be evicted for it, however much in use, before another shard gave up any.
const heavyDivisor = 8

// addWeight adds an entry's weight to s's or, if weight is negative, subtracts it. s.mu is
// held.
func (c *Cache[K, V]) addWeight(s *shard[K, V], weight int64) {
	switch {
	case weight == 0:
	case max(weight, -weight) <= c.heavyAbove:
		s.light.Add(weight)
	default:
		s.heavy.Add(weight)
		c.heavy.Add(weight)
	}
}

func (c *Cache[K, V]) addTotals(count, weight int64) {
	if count != 0 {
		c.count.Add(count)
	}
	if weight != 0 {
		c.weight.Add(weight)
	}
}

// tooMany reports whether the cache exceeds its capacity with more entries than it has.
func (c *Cache[K, V]) tooMany(more int64) bool {
	return c.capacity > 0 && c.count.Load()+more > c.capacity
}

// tooHeavy reports whether the cache exceeds its MaxWeight with more weight than it has.
func (c *Cache[K, V]) tooHeavy(more int64) bool {
	return c.maxWeight > 0 && c.weight.Load()+more > c.maxWeight
}

// localVictim returns the entry, other than spared, that s has to evict when count entries
// of weight in total are added to the cache. It returns nil if there is room, or if s is
// within its share, so that another shard has to evict. A shard's share of the capacity is
// the same for all shards; its share of the weight is the average weight of light entries
// per shard. s.mu is held.
func (c *Cache[K, V]) localVictim(
	s *shard[K, V], spared *entry[K, V], count, weight int64,
) *entry[K, V] {
	n := int64(len(c.shards))
	switch {
	case c.tooMany(count) && s.size.Load() > c.capacity/n:
		return c.victim(s, spared, false)
	case c.tooHeavy(weight) && s.light.Load() > (c.weight.Load()+weight-c.heavy.Load())/n:
		return c.victim(s, spared, true)
	default:
		return nil
	}
}

// victim returns the entry of s to evict next, other than spared, or nil if there is none.
// With forWeight its weight is above 0, unless it has expired. s.mu is held.
func (c *Cache[K, V]) victim(s *shard[K, V], spared *entry[K, V], forWeight bool) *entry[K, V] {
	if s.expiring.n > 0 {
		if e := s.expiring.expired(c.clock.approx()); e != nil && e != spared {
			return e
		}
	}
	first := s.policy.Victim(spared.node())
	if !forWeight && s.weightless != nil {
		light := s.weightless.Victim(spared.node())
		if first == nil || light != nil && light.UsedBefore(first) {
			first = light
		}
	}
	return entryOf[K, V](first)
}

// makeRoom evicts entries from the fullest shards while the cache is too full. It is called
// without locks after e was stored in own. By then own is within its share or has no entry
// but e, so another shard has to make room.
func (c *Cache[K, V]) makeRoom(own *shard[K, V], e *entry[K, V], out *evicted[K, V]) {
	for {
		forWeight := c.tooHeavy(0)
		if !forWeight && !c.tooMany(0) {
			return
		}
		s := c.fullest(own, e, forWeight)
		if s == nil {
			return
		}
		s.mu.Lock()
		if victim := c.victim(s, e, forWeight); victim != nil {
			c.remove(s, victim, c.reasonFor(victim, ReasonSize), out)
		}
		s.mu.Unlock()
	}
}

// fullest returns the shard with the most entries or, with forWeight, the most weight,
// without e, which is in own. It returns nil if there are no others. Heavy entries count
// only if there are no light ones.
func (c *Cache[K, V]) fullest(own *shard[K, V], e *entry[K, V], forWeight bool) *shard[K, V] {
	if !forWeight {
		return c.shardWithMost(own, 1, func(s *shard[K, V]) int64 { return s.size.Load() })
	}
	light, heavy := int64(e.Weight), int64(0)
	if light > c.heavyAbove {
		light, heavy = heavy, light
	}
	s := c.shardWithMost(own, light, func(s *shard[K, V]) int64 { return s.light.Load() })
	if s != nil {
		return s
	}
	return c.shardWithMost(own, heavy, func(s *shard[K, V]) int64 { return s.heavy.Load() })
}

// shardWithMost returns the shard for which held returns the highest number above 0, or
// nil if there is none. less is subtracted from the number of own.
func (c *Cache[K, V]) shardWithMost(
	own *shard[K, V], less int64, held func(*shard[K, V]) int64,
) *shard[K, V] {
	var best *shard[K, V]
	most := int64(0)
	for i := range c.shards {
		s := &c.shards[i]
		h := held(s)
		if s == own {
			h -= less
		}
		if h > most {
			best, most = s, h
		}
	}
	return best
}

// equalsItself reports false for keys such as NaN, which cannot be found again.
func equalsItself[K comparable](key K) bool {
	return key == key //nolint:gocritic // false for NaN: that is the question
}
