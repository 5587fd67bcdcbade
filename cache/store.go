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
	inserted := s.clock.Load() // with others since the cache was made, in s
	s.mu.Unlock()

	if c.window != nil && inserted != before && inserted%c.observeEvery() == 0 {
		c.window.Observe()
	}

	c.makeRoom(s, e, &out)
	if e.scheduled() {
		c.sweeper.start()
	}
	if c.shedAbove > 0 && c.clock.approx() >= 0 { // else it would belong to a synctest bubble
		c.shedder.start()
	}
	c.notify(out)
}

// put stores e in place of whatever its key had, and makes room in its shard
// if that holds more than its share. s.mu is held.
func (c *Cache[K, V]) put(s *shard[K, V], e *entry[K, V], out *evicted[K, V]) {
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

// remove takes e out. s.mu is held.
func (c *Cache[K, V]) remove(s *shard[K, V], e *entry[K, V], reason Reason, out *evicted[K, V]) {
	c.drop(s, e)
	s.setTouchInterval(c.strict)
	if c.compacts {
		s.index.shrink()
	}
	c.addTotals(-1, -int64(e.Weight))
	c.record(e, reason, out)
}

// drop takes e out of s and off its weight. s.mu is held.
func (c *Cache[K, V]) drop(s *shard[K, V], e *entry[K, V]) {
	s.drop(e)
	c.addWeight(s, -int64(e.Weight))
}

// heavyPart is the part of a shard's share of MaxWeight above which an entry is
// heavy. A heavy entry takes room from all shards alike: they are to hold the same
// besides. Otherwise all else in its own shard would have to go for it, however much
// in use, before another shard gave anything.
const heavyDivisor = 8

// addWeight adds an entry's weight to what s holds or, if it is negative, takes it
// off. s.mu is held.
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

// tooMany reports whether the cache would have too many entries with that many
// more.
func (c *Cache[K, V]) tooMany(more int64) bool {
	return c.capacity > 0 && c.count.Load()+more > c.capacity
}

// tooHeavy reports whether the cache would hold too much weight with that much
// more.
func (c *Cache[K, V]) tooHeavy(more int64) bool {
	return c.maxWeight > 0 && c.weight.Load()+more > c.maxWeight
}

// surplus returns the entry, other than spared, that s has to give if the cache
// gets that much more; nil if there is room, or if s is within its share of what
// there is too much of: of the light entries' weight, that is their average in all
// shards. s.mu is held.
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

// victim returns the entry of s that goes first, other than spared; nil if there is
// none. If it goes for its weight it has some, or has expired. s.mu is held.
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

// makeRoom evicts from the fullest shards while the cache is too full. It is
// called without locks after e was stored in own, which is within its share, or
// has nothing left to give but e: so another one has to.
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

// fullest returns the shard that holds most of what there is too much of, besides
// e, which is in own; nil if none holds anything. Heavy entries count only where
// there are no others.
func (c *Cache[K, V]) fullest(own *shard[K, V], e *entry[K, V], forWeight bool) *shard[K, V] {
	if !forWeight {
		return c.shardWithMost(own, 1, func(s *shard[K, V]) int64 { return s.size.Load() })
	}
	light, heavy := int64(e.Weight), int64(0)
	if light > c.heavyAbove {
		light, heavy = heavy, light
	}
	if s := c.shardWithMost(own, light, func(s *shard[K, V]) int64 { return s.light.Load() }); s != nil {
		return s
	}
	return c.shardWithMost(own, heavy, func(s *shard[K, V]) int64 { return s.heavy.Load() })
}

// most returns the shard of which held is highest, and above 0; less is taken off
// what own holds.
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

// equalsItself is false for keys such as NaN, which no map can find again.
func equalsItself[K comparable](key K) bool {
	return key == key //nolint:gocritic // false for NaN: that is the question
}
