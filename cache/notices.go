package cache

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// watch makes the cache follow the notices of its Storage, if that is a Notifier.
func (s *second[K, V]) watch() {
	if n, ok := s.Storage.(Notifier); ok {
		s.unwatch = sync.OnceFunc(n.Watch(s.notice))
	}
}

// endWatch stops the notices, and waits for one that is under way until ctx ends.
func (s *second[K, V]) endWatch(ctx context.Context) error {
	if s.unwatch == nil {
		return nil
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.unwatch()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cache: the notices of the second level have not ended: %w", ctx.Err())
	}
}

// notice removes here what another process has deleted. What waits to be written may stay: the
// Storage refuses the results of loads that began before.
func (s *second[K, V]) notice(n Notice) {
	c := s.cache
	if n.All {
		c.expireAll()
		return
	}
	for _, name := range n.Keys {
		if key, ok := s.parse(name); ok {
			shard, hash := c.shardOf(key)
			c.removeHere(shard, hash, key)
		}
	}
	for _, tag := range n.Tags {
		switch {
		case tag == "":
			c.clear(true)
		case c.tagger != nil:
			c.invalidateTag(tag)
		}
	}
}

// parse calls ParseKey for a name that came from outside. A panic, for which the cache is not to
// end the process, counts as a failure of the second level.
func (s *second[K, V]) parse(name string) (key K, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			ok = false
			s.failed(fmt.Errorf("cache: SecondLevel.ParseKey panicked: %v", p))
		}
	}()
	key, ok = s.ParseKey(name)
	return key, ok && equalsItself(key)
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
