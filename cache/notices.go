package cache

import "slices"

// watch makes the cache follow the notices of its Storage, if that is a Notifier.
func (s *second[K, V]) watch() {
	if n, ok := s.Storage.(Notifier); ok {
		s.unwatch = n.Watch(s.notice)
	}
}

// notice removes here what another process has deleted.
func (s *second[K, V]) notice(n Notice) {
	c := s.cache
	if n.All {
		s.pending.forget(func(*pendingOp[K, V]) bool { return true })
		c.expireAll()
		return
	}
	for _, name := range n.Keys {
		if key, ok := s.ParseKey(name); ok && equalsItself(key) {
			s.pending.forgetKey(name)
			shard, hash := c.shardOf(key)
			c.removeHere(shard, hash, key)
		}
	}
	for _, tag := range n.Tags {
		s.forgetTag(tag)
		switch {
		case tag == "":
			c.clear(true)
		case c.tagger != nil:
			c.invalidateTag(tag)
		}
	}
}

// forgetTag drops the results of loads that wait to be written and bear tag; "" stands for all.
func (s *second[K, V]) forgetTag(tag string) {
	s.pending.forget(func(op *pendingOp[K, V]) bool {
		return tag == "" || slices.Contains(op.tags, tag)
	})
}

// removeHere does what Delete does, but for the second level.
func (c *Cache[K, V]) removeHere(s *shard[K, V], hash uint32, key K) {
	var out evicted[K, V]
	s.mu.Lock()
	s.written(hash, key)
	if e := s.index.find(hash, key); e != nil {
		c.end(s, e, ReasonDeleted, &out)
	}
	s.mu.Unlock()
	c.courier.Forget(key)
	c.notify(out)
}

// expireAll ends the TTLs of all entries, as Expire does, but not in the second level. Loads that
// are under way do not store their results.
func (c *Cache[K, V]) expireAll() {
	if c.staleFor == 0 {
		c.clear(true)
		return
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.loads.clear()
		s.missing.clear()
		s.writes.Add(1)
		s.mu.Unlock()
		for e := range s.index.all {
			c.expire(s, e.Hash&hashMask, e.key, nil)
		}
	}
	c.courier.ForgetAll()
}
