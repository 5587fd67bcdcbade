package cache

import "time"

// This file implements hook.Order for a cache, which must have the policy StrictLRU: its one shard
// has the order of all entries.

func (h hooks[K, V]) OnRemoval(f func(K, V)) { h.onRemoval = f }

func (h hooks[K, V]) OnSweep(pause time.Duration, sweep func()) {
	h.sweeper.init(pause, func() time.Duration {
		sweep()
		return pause
	})
}

func (h hooks[K, V]) Sweep() {
	for more := true; more; {
		_, more = h.sweepShard(&h.shards[0])
	}
}

func (h hooks[K, V]) Capacity() int { return int(h.capacity.Load()) }

func (h hooks[K, V]) Add(key K, value V) (evicted bool) {
	if !equalsItself(key) {
		return false
	}
	s, hash := h.shardOf(key)
	e, tags := h.entryFor(hash, key, value, h.ttl)
	var p placed[K, V]
	s.mu.Lock()
	evicted = h.add(s, e, tags, &p)
	s.mu.Unlock()
	h.added(s, e, &p)
	return evicted
}

func (h hooks[K, V]) AddIfAbsent(key K, value V) (present V, found, evicted bool) {
	if !equalsItself(key) {
		return present, false, false
	}
	s, hash := h.shardOf(key)
	if now := h.fresh(s, hash, key); now != nil {
		return now.value, true, false
	}
	e, tags := h.entryFor(hash, key, value, h.ttl)
	var p placed[K, V]
	s.mu.Lock()
	if now := h.fresh(s, hash, key); now != nil {
		s.mu.Unlock()
		return now.value, true, false
	}
	evicted = h.add(s, e, tags, &p)
	s.mu.Unlock()
	h.added(s, e, &p)
	return present, false, evicted
}

// add stores e and reports whether a fresh entry was evicted for it. s.mu is held, and added has to
// be called once it is unlocked.
func (h hooks[K, V]) add(s *shard[K, V], e *entry[K, V], tags []string, p *placed[K, V]) bool {
	s.written(e.Hash&hashMask, e.key)
	if h.closed.Load() {
		return false
	}
	before := h.counters.evictions.Load() // changed with the lock of the one shard alone
	h.put(s, e, tags, false, p)
	return h.counters.evictions.Load() > before
}

// added does what is left to do after add. The function of OnRemoval comes last, since it may
// panic.
func (h hooks[K, V]) added(s *shard[K, V], e *entry[K, V], p *placed[K, V]) {
	h.courier.Forget(e.key)
	h.settle(s, e, p)
}

func (h hooks[K, V]) Oldest() (key K, value V, ok bool) {
	s := &h.shards[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := h.oldest(s); e != nil {
		return e.key, e.value, true
	}
	return key, value, false
}

// oldest returns the fresh entry that was not used for the longest time, or nil. s.mu is held.
func (h hooks[K, V]) oldest(s *shard[K, V]) *entry[K, V] {
	for n := range s.policy.All {
		if e := entryOf[K, V](n); !h.expired(e) {
			return e
		}
	}
	return nil
}

func (h hooks[K, V]) RemoveOldest() (key K, value V, ok bool) {
	s := &h.shards[0]
	var out evicted[K, V]
	s.mu.Lock()
	e := h.oldest(s)
	if e == nil {
		s.mu.Unlock()
		return key, value, false
	}
	s.written(e.Hash&hashMask, e.key)
	h.end(s, e, ReasonDeleted, &out)
	s.mu.Unlock()
	h.courier.Forget(e.key)
	h.notify(out)
	return e.key, e.value, true
}

func (h hooks[K, V]) Each(f func(key K, value V)) {
	s := &h.shards[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.policy.All {
		if e := entryOf[K, V](n); !h.expired(e) {
			f(e.key, e.value)
		}
	}
}

func (h hooks[K, V]) Resize(capacity int) (n int) {
	s := &h.shards[0]
	var out evicted[K, V]
	s.mu.Lock()
	before := h.counters.evictions.Load()
	h.capacity.Store(int64(max(1, capacity)))
	s.index.fullBuckets = bucketsFor(capacity + 1)
	for s.size.Load() > int64(max(0, capacity)) {
		e := h.victim(s, nil, false)
		h.endEvicted(s, e)
		h.remove(s, e, h.reasonFor(e, ReasonSize), &out)
	}
	n = int(h.counters.evictions.Load() - before) //nolint:gosec // at most the size
	s.mu.Unlock()
	h.notify(out)
	return n
}
