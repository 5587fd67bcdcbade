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

// keep stores the result of l, if l is still registered and none of its tags was invalidated
// since l began. l is not registered afterwards.
func (c *Cache[K, V]) keep(s *shard[K, V], l *load[K, V], r *loaded[V]) {
	if c.keeps(s, l, r) {
		c.store(s, l, r, c.entryOf(l, r))
	}
}

// keeps reports whether the result of l may be stored. If not, l is not registered afterwards.
func (c *Cache[K, V]) keeps(s *shard[K, V], l *load[K, V], r *loaded[V]) bool {
	if r.failure != nil || c.ended(s, l) {
		return false
	}
	if r.ttl == 0 {
		c.storeAbsence(s, l, r.err)
		return false
	}
	return true
}

// entryOf makes the entry of l's result.
//
//go:noinline
func (c *Cache[K, V]) entryOf(l *load[K, V], r *loaded[V]) *entry[K, V] {
	if g := l.grant(); g != nil && g.taken {
		return c.takenEntry(l, r)
	}
	e := c.newEntry(l.hash, l.key, r.value, r.weight, r.ttl, r.tags)
	if c.refreshAt > 0 && l.refreshes() {
		e.lived().refreshAt.Store(c.nextRefresh(e))
	}
	return e
}

// store stores e, the entry of l's result, which keeps has allowed, as keep does.
func (c *Cache[K, V]) store(s *shard[K, V], l *load[K, V], r *loaded[V], e *entry[K, V]) {
	var p placed[K, V]
	s.mu.Lock()
	if !s.loads.has(l) {
		s.mu.Unlock()
		return
	}
	s.supersede(l.hash, l.key)
	s.missing.forget(l.key)
	if c.closed.Load() || c.invalidatedSince(l.invalidations, r.tags) {
		s.mu.Unlock()
		return
	}
	if count, weight, ok := c.place(s, e, r.tags, r.same, &p); ok { // put needs more stack
		c.makeRoomIn(s, e, count, weight, &p)
	}
	if l.second != nil {
		c.writeBehind(l, e, r.tags)
	}
	s.mu.Unlock()
	c.settle(s, e, &p)
}

// storeAbsence unregisters l, which has no result to be stored, and removes all that is stored
// or remembered for its key, since that is outdated. If absent is not nil, it is the error of a
// missing record, and remembered unless NotFoundTTL or the load's TTL is 0. If l is not
// registered any more, nothing is removed or remembered.
func (c *Cache[K, V]) storeAbsence(s *shard[K, V], l *load[K, V], absent error) {
	g := l.grant()
	taken := g != nil && g.taken
	if absent != nil && !taken {
		c.counters.notFound.Add(1)
	}
	if !equalsItself(l.key) {
		return
	}
	var out evicted[K, V]
	ttl := c.notFoundTTL
	if set := time.Duration(l.ttl.Load()); taken || set != c.ttl { // of the record, or by StoreFor
		ttl = min(ttl, set)
	}
	var until int64
	if absent != nil {
		until = addTime(c.clock.now(), ttl)
	}
	s.mu.Lock()
	registered := s.loads.has(l)
	remembers := registered && absent != nil && s.missing != nil && ttl > 0 &&
		!c.closed.Load()
	if registered {
		s.supersede(l.hash, l.key)
		s.missing.forget(l.key)
		if e := s.index.find(l.hash, l.key); e != nil {
			c.end(s, e, ReasonDeleted, &out)
		}
	}
	if remembers {
		s.missing.put(l.key, notFound{absent, until})
	}
	if registered && l.second != nil {
		if !remembers {
			ttl = 0
		}
		c.absenceBehind(l, ttl)
	}
	s.mu.Unlock()
	if remembers && until >= 0 { // otherwise in a synctest bubble, see clock
		c.sweeper.start()
	}
	c.notify(out)
}

// written records that the user sets or removes key's value, so that a load of key that is
// under way does not store its result. s.mu is held.
func (s *shard[K, V]) written(hash uint32, key K) {
	s.supersede(hash, key)
	s.missing.forget(key)
	s.writes.Add(1)
}

// A placed holds the work that is left, once the shard is unlocked, after an entry was put.
type placed[K comparable, V any] struct {
	out     evicted[K, V]
	sampled bool // whether Window.Record is to be called
}

// settle does the work that is left after put has stored e in s. No lock is held.
func (c *Cache[K, V]) settle(s *shard[K, V], e *entry[K, V], p *placed[K, V]) {
	if p.sampled {
		c.window.Record(e.Hash)
	}
	c.makeRoom(s, e, &p.out)
	if e.scheduled() {
		c.sweeper.start()
	}
	if c.shedAbove > 0 && c.clock.approx() >= 0 { // not in a synctest bubble, see clock
		c.shedder.start()
	}
	c.notify(p.out)
	if c.onChange != nil {
		c.onChange(e.key)
	}
}

// put stores e with its tags, replaces the entry of its key, if any, and makes room in s as
// far as s holds more than its share. If keeps is true, e has the value of the entry that it
// replaces, so that no value leaves. s.mu is held, and settle has to be called once it is
// unlocked.
func (c *Cache[K, V]) put(
	s *shard[K, V], e *entry[K, V], tags []string, keeps bool, p *placed[K, V],
) {
	if count, weight, ok := c.place(s, e, tags, keeps, p); ok {
		c.makeRoomIn(s, e, count, weight, p)
	}
}

// place does the first part of put, and returns by how much the entries and their weight are
// more than before. If ok, makeRoomIn has to be called, before s is unlocked.
func (c *Cache[K, V]) place(
	s *shard[K, V], e *entry[K, V], tags []string, keeps bool, p *placed[K, V],
) (count, weight int64, ok bool) {
	old, at := s.index.slotOf(e.Hash&hashMask, e.key)
	replaces := old != nil
	if c.maxWeight > 0 && int64(e.Weight) > c.maxWeight {
		// The old value is outdated, although the new one cannot be stored.
		c.counters.rejected.Add(1)
		if replaces {
			c.end(s, old, ReasonReplaced, &p.out)
		}
		return 0, 0, false
	}
	s.insert(e, old, at)
	if len(tags) > 0 {
		s.tag(e, tags)
	}
	c.addWeight(s, int64(e.Weight))
	count, weight = int64(1), int64(e.Weight)
	if replaces {
		if c.staleFor > 0 {
			old.lived().failure.Store(ended)
		}
		c.addWeight(s, -int64(old.Weight))
		if !keeps {
			c.record(old, c.reasonFor(old, ReasonReplaced), &p.out)
		}
		count, weight = 0, weight-int64(old.Weight)
	}
	return count, weight, true
}

// makeRoomIn does the rest of put. It is not called by place, since that would need more stack:
// see load.
func (c *Cache[K, V]) makeRoomIn(
	s *shard[K, V], e *entry[K, V], count, weight int64, p *placed[K, V],
) {
	for {
		forWeight, over := c.overShare(s, count, weight)
		if !over {
			break
		}
		victim := c.victim(s, e, forWeight)
		if victim == nil {
			break
		}
		c.endEvicted(s, victim)
		c.drop(s, victim)
		c.record(victim, c.reasonFor(victim, ReasonSize), &p.out)
		count, weight = count-1, weight-int64(victim.Weight)
	}
	s.setTouchInterval(c.strict)
	c.addTotals(count, weight)
	p.sampled = c.window != nil && c.window.Samples(e.Hash)
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
// does not count towards its shard's share. Otherwise all other entries of its shard, even
// those much in use, would be evicted for it before another shard gave up any.
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

// tooMany reports whether the cache exceeds its capacity with that many more entries.
func (c *Cache[K, V]) tooMany(more int64) bool {
	capacity := c.capacity.Load()
	return capacity > 0 && c.count.Load()+more > capacity
}

// tooHeavy reports whether the cache exceeds its MaxWeight with that much more weight.
func (c *Cache[K, V]) tooHeavy(more int64) bool {
	return c.maxWeight > 0 && c.weight.Load()+more > c.maxWeight
}

// overShare reports whether s has to evict an entry when count entries of weight in total are
// added to the cache, and whether for their weight. It has not if there is room, or if s is within
// its share, so that another shard has to evict. A shard's share of the capacity is the same for
// all shards; its share of the weight is the average weight of light entries per shard. s.mu is
// held.
func (c *Cache[K, V]) overShare(s *shard[K, V], count, weight int64) (forWeight, over bool) {
	n := int64(len(c.shards))
	if c.tooMany(count) && s.size.Load() > c.capacity.Load()/n {
		return false, true
	}
	return true, c.tooHeavy(weight) &&
		s.light.Load() > (c.weight.Load()+weight-c.heavy.Load())/n
}

// victim returns the entry of s to evict next, other than spared, or nil if there is none.
// Stale entries, and those that are gone, come first. With forWeight, the weight of any other
// victim is above 0. s.mu is held.
func (c *Cache[K, V]) victim(s *shard[K, V], spared *entry[K, V], forWeight bool) *entry[K, V] {
	if e := c.expiredVictim(s, spared); e != nil {
		return e
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

// expiredVictim returns an entry, other than spared, that is not fresh, or nil if a short search
// finds none. Of stale entries it returns about the one that has been stale for longest: if it had
// been asked for since, a load would have replaced it. s.mu is held.
func (c *Cache[K, V]) expiredVictim(s *shard[K, V], spared *entry[K, V]) *entry[K, V] {
	if s.expiring.n > 0 {
		const files = 8
		now := c.clock.approx()
		for range files {
			e := s.expiring.expired(now)
			if s.stale == nil && e != spared {
				return e
			}
			if s.stale == nil || e == nil {
				break
			}
			s.expiring.remove(e)
			s.stale.add(e)
		}
	}
	if s.stale == nil {
		return nil
	}
	return s.stale.first(spared)
}

// makeRoom evicts entries from the fullest shards while the cache is too full. It is called
// without locks after e was stored in own. By then own is within its share or has no entry
// but e, so another shard has to make room.
func (c *Cache[K, V]) makeRoom(own *shard[K, V], e *entry[K, V], out *evicted[K, V]) {
	for c.evictFrom(own, e, out) {
	}
}

// evictFrom evicts an entry other than e from the fullest shard if the cache is too full,
// and reports whether it did. own is the shard of e; both may be nil.
func (c *Cache[K, V]) evictFrom(own *shard[K, V], e *entry[K, V], out *evicted[K, V]) bool {
	forWeight := c.tooHeavy(0)
	if !forWeight && !c.tooMany(0) {
		return false
	}
	s := c.fullest(own, e, forWeight)
	if s == nil {
		return false
	}
	s.mu.Lock()
	if victim := c.victim(s, e, forWeight); victim != nil {
		c.endEvicted(s, victim)
		c.remove(s, victim, c.reasonFor(victim, ReasonSize), out)
	}
	s.mu.Unlock()
	return true
}

// fullest returns the shard with the most entries or, with forWeight, the most weight,
// without e, which is in own. It returns nil if there are no others. Heavy entries count
// only if there are no light ones.
func (c *Cache[K, V]) fullest(own *shard[K, V], e *entry[K, V], forWeight bool) *shard[K, V] {
	if !forWeight {
		return c.shardWithMost(own, 1, func(s *shard[K, V]) int64 { return s.size.Load() })
	}
	light, heavy := int64(0), int64(0)
	if e != nil {
		light = int64(e.Weight)
	}
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
