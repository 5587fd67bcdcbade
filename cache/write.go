package cache

import (
	"cmp"
	"time"
)

// Set stores value for key with Options.TTL. A load of key that is under way does not
// overwrite it. Set waits for no load; it calls Weigher and Tags, if they are set.
func (c *Cache[K, V]) Set(key K, value V) { c.SetTTL(key, value, c.ttl) }

// SetTTL stores value for key as Set does, but for ttl, less Options.TTLJitter. If ttl
// is 0 or [Forever], the entry does not expire. If ttl is negative, SetTTL deletes the key.
func (c *Cache[K, V]) SetTTL(key K, value V, ttl time.Duration) {
	if ttl < 0 {
		c.Delete(key)
		return
	}
	if !equalsItself(key) {
		return
	}
	s, hash := c.shardOf(key)
	e, tags := c.entryFor(hash, key, value, cmp.Or(ttl, Forever))
	name := c.nameOf(key)
	var p placed[K, V]
	s.mu.Lock()
	s.written(hash, key)
	if c.closed.Load() {
		s.mu.Unlock()
		return
	}
	c.put(s, e, tags, false, &p)
	if c.second != nil {
		c.second.set(name, e, tags)
	}
	s.mu.Unlock()
	c.settle(s, e, &p)
	c.courier.Forget(key)
}

// entryFor makes the entry of a value that the user sets.
func (c *Cache[K, V]) entryFor(
	hash uint32, key K, value V, ttl time.Duration,
) (e *entry[K, V], tags []string) {
	tags = c.tagsFor(key, value)
	return c.newEntry(hash, key, value, c.weigh(key, value), ttl, tags), tags
}

// SetIfAbsent stores value for key as Set does, unless there is a fresh value already. It
// returns the value that is stored afterwards, and whether that is its argument. A load
// that is under way is no value: SetIfAbsent does not wait for it, and the load does not
// overwrite the value that SetIfAbsent stores. A value that cannot be stored, since it exceeds
// MaxWeight or the cache is closed, is returned with false.
func (c *Cache[K, V]) SetIfAbsent(key K, value V) (actual V, stored bool) {
	if !equalsItself(key) {
		return value, false
	}
	s, hash := c.shardOf(key)
	e, tags := c.entryFor(hash, key, value, c.ttl)
	found, stored := c.storeIf(s, e, tags, func(now *entry[K, V]) bool { return now == nil })
	if found != nil {
		return found.value, false
	}
	return value, stored
}

// storeIf stores e if allows returns true for the fresh entry of its key, nil if there is
// none. It returns that entry and whether e was stored. allows runs with the shard locked.
func (c *Cache[K, V]) storeIf(
	s *shard[K, V], e *entry[K, V], tags []string, allows func(now *entry[K, V]) bool,
) (now *entry[K, V], stored bool) {
	hash, key := e.Hash&hashMask, e.key
	name := c.nameOf(key)
	var p placed[K, V]
	s.mu.Lock()
	now = c.fresh(s, hash, key)
	if !allows(now) || c.closed.Load() {
		s.mu.Unlock()
		return now, false
	}
	s.written(hash, key)
	c.put(s, e, tags, false, &p)
	if c.second != nil {
		c.second.set(name, e, tags)
	}
	stored = s.index.find(hash, key) == e
	s.mu.Unlock()
	c.settle(s, e, &p)
	c.courier.Forget(key)
	return now, stored
}

// fresh returns key's entry if that is fresh, and nil otherwise.
func (c *Cache[K, V]) fresh(s *shard[K, V], hash uint32, key K) *entry[K, V] {
	e := s.index.find(hash, key)
	if e == nil || c.expired(e) {
		return nil
	}
	return e
}

// An Op is an operation of Update.
type Op uint8

// The operations.
const (
	Keep   Op = iota // leave the key as it is
	Store            // store the value that f returned, with Options.TTL
	Remove           // delete the key
)

// Update calls f with the fresh value of key, and whether there is one, and does the Op that f
// returns. It returns the value that is stored afterwards, and whether there is one. Update is
// atomic per key: if another caller changes the key after f was called, f is called again with the
// new value. So f should be quick, must not change the key itself, and should have no effects
// but its result.
//
// f runs in the caller's goroutine and without locks, so it may block or use the cache
// without delaying others. If it panics, nothing has changed. A load of key that is under
// way is overwritten by Store and Remove, as by Set and Delete.
func (c *Cache[K, V]) Update(key K, f func(old V, ok bool) (V, Op)) (V, bool) {
	var none V
	if !equalsItself(key) {
		f(none, false)
		return none, false
	}
	s, hash := c.shardOf(key)
	for {
		old := c.fresh(s, hash, key)
		value, found := none, old != nil
		if found {
			value = old.value
		}
		updated, op := f(value, found)
		unchanged := func(now *entry[K, V]) bool { return now == old }
		switch op {
		case Store:
			e, tags := c.entryFor(hash, key, updated, c.ttl)
			switch now, stored := c.storeIf(s, e, tags, unchanged); {
			case stored:
				return updated, true
			case now == old: // it was too heavy, or the cache is closed
				return none, false
			}
		case Remove:
			if c.removeIf(s, hash, key, unchanged) {
				return none, false
			}
		default:
			return value, found
		}
	}
}

// removeIf removes key if allows returns true for its fresh entry, nil if there is none,
// and reports whether it did. allows runs with the shard locked.
func (c *Cache[K, V]) removeIf(
	s *shard[K, V], hash uint32, key K, allows func(now *entry[K, V]) bool,
) bool {
	name := c.nameOf(key)
	var out evicted[K, V]
	s.mu.Lock()
	if !allows(c.fresh(s, hash, key)) {
		s.mu.Unlock()
		return false
	}
	s.written(hash, key)
	if e := s.index.find(hash, key); e != nil {
		c.end(s, e, ReasonDeleted, &out)
	}
	if c.second != nil {
		c.second.delete(name, key)
	}
	s.mu.Unlock()
	c.courier.Forget(key)
	c.notify(out)
	return true
}

// Delete removes key, and a stale value too, and reports whether a fresh one was stored for
// it. A load of key that is under way does not store its result.
func (c *Cache[K, V]) Delete(key K) bool {
	_, ok := c.GetAndDelete(key)
	return ok
}

// GetAndDelete does what Delete does, and returns the fresh value that was stored, if any.
func (c *Cache[K, V]) GetAndDelete(key K) (value V, ok bool) {
	// Checked before locking: an interface key with an uncomparable value panics
	// here, and must not leave the shard locked.
	if !equalsItself(key) {
		return value, false
	}
	s, hash := c.shardOf(key)
	c.removeIf(s, hash, key, func(now *entry[K, V]) bool {
		if ok = now != nil; ok {
			value = now.value
		}
		return true
	})
	return value, ok
}

// Expire ends the TTL of key's value, and reports whether it was fresh: from now on it is
// stale, and the next Fetch loads the key anew, with the value to fall back on if that
// fails. Without Options.StaleFor the value is gone. A load that is under way does not store
// its result. A second level deletes the record.
func (c *Cache[K, V]) Expire(key K) bool {
	if !equalsItself(key) {
		return false
	}
	s, hash := c.shardOf(key)
	if c.second == nil {
		return c.expire(s, hash, key, nil)
	}
	name := c.nameOf(key)
	return c.expire(s, hash, key, func() { c.second.delete(name, key) })
}

// expire does what Expire does, but for the second level. behind, if not nil, is called with the
// shard locked.
func (c *Cache[K, V]) expire(s *shard[K, V], hash uint32, key K, behind func()) bool {
	var p placed[K, V]
	s.mu.Lock()
	s.written(hash, key)
	if behind != nil {
		behind()
	}
	old := c.fresh(s, hash, key)
	var e *entry[K, V]
	switch {
	case old == nil:
	case c.staleFor == 0:
		c.remove(s, old, ReasonExpired, &p.out)
	default:
		e = c.renew(s, old, c.clock.now(), &p)
	}
	s.mu.Unlock()
	c.courier.Forget(key)
	if e != nil {
		c.settle(s, e, &p)
	} else {
		c.notify(p.out)
	}
	return old != nil
}

// Touch gives key's value a new TTL, from now on, if the value is fresh, and reports whether it
// is. If ttl is 0 or [Forever], the value does not expire any more; if it is
// negative, Touch deletes the key. Options.TTLJitter does not apply. The age of the value
// stays. A load that is under way stores its result all the same. The record in a second level
// keeps its TTL.
func (c *Cache[K, V]) Touch(key K, ttl time.Duration) bool {
	switch {
	case ttl < 0:
		return c.Delete(key)
	case !equalsItself(key):
		return false
	}
	s, hash := c.shardOf(key)
	var p placed[K, V]
	s.mu.Lock()
	old := c.fresh(s, hash, key)
	if old == nil {
		s.mu.Unlock()
		return false
	}
	expires := int64(never)
	if ttl != 0 {
		expires = addTime(c.clock.now(), ttl)
	}
	e := c.renew(s, old, expires, &p)
	s.mu.Unlock()
	c.settle(s, e, &p)
	return true
}

// renew replaces old by an entry with the same value that expires at expires. s.mu is held,
// and settle has to be called once it is unlocked.
func (c *Cache[K, V]) renew(
	s *shard[K, V], old *entry[K, V], expires int64, p *placed[K, V],
) *entry[K, V] {
	tags := tagsOf(old)
	storedAt := c.clock.now()
	if old.kind() >= lived {
		storedAt = old.lived().storedAt
	}
	e := c.entryUntil(
		old.Hash&hashMask, old.key, old.value, old.Weight, storedAt, expires, len(tags) > 0,
	)
	if c.refreshAt > 0 && expires != never {
		e.lived().refreshAt.Store(c.firstRefresh(c.clock.now(), expires))
	}
	c.put(s, e, tags, true, p)
	return e
}
