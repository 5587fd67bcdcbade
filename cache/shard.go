package cache

import (
	"sync"
	"sync/atomic"

	"github.com/snowfence/snowfence/cache/internal/evict"
)

// A shard holds a part of the entries, in an index, an eviction order and a wheel.
type shard[K comparable, V any] struct {
	// mu guards the fields up to the padding, the positions of the shard's entries in
	// queues, and writing to the index. While it is held, no function of the user runs, and
	// only the locks of callbacks, invalidations and pending are taken.
	mu     sync.Mutex
	loads  loads[K, V]
	clears uint32        // calls of Clear
	writes atomic.Uint32 // values that the user set or removed; changed with mu held
	policy evict.Policy  // the last field of the one cache line that most writes need

	weightless *evict.LRU   // the entries of weight 0; nil unless MaxWeight is set
	expiring   wheel[K, V]  // by the end of the TTL
	stale      *wheel[K, V] // stale entries, by the end of StaleFor; nil unless that is set
	missing    *missing[K]  // nil unless NotFoundTTL is set
	tags       map[string]*tagSet[K, V]

	window *evict.Window // nil unless the policy is Adaptive; does not change

	changes *changes // nil unless a Restore is under way

	exact bool     // touch waits for the lock, and touchInterval is always 0; does not change
	_     [79]byte // puts all fields that a hit reads into one cache line, apart from loads

	// Read on every hit, written on insertion (with mu held).
	index         index[K, V]
	clock         atomic.Uint32 // counts insertions; see touch
	touchInterval atomic.Uint32 // in insertions, see touch; 0: the shard is a strict LRU
	size          atomic.Int64
	light         atomic.Int64 // total weight of entries up to Cache.heavyAbove
	heavy         atomic.Int64 // total weight of the others
	_             [64]byte
}

// strictBelow is the number of entries below which an LRU shard is strict.
const strictBelow = 512

// touchIntervalDivisor sets the touch interval: after a use of an entry was noted, another is noted
// once this fraction of the shard, a sixteenth, has been inserted, or the policy has taken the
// first.
const touchIntervalDivisor = 16

// touch notes a use of e, if none is noted or that is a touch interval ago. So most hits write
// nothing, and the others only to their own entry.
//
// In a strict shard touch moves e at once, unless e was the last to be moved or the lock
// is taken; in an exact one it waits for the lock. There the clock counts moves, too.
func (s *shard[K, V]) touch(e *entry[K, V]) {
	if interval := s.touchInterval.Load(); interval > 0 {
		if e.Touch(s.clock.Load(), interval) && s.window != nil && s.window.Samples(e.Hash) {
			s.window.Record(e.Hash)
		}
		return
	}
	if e.UntouchedSince(s.clock.Load()) {
		return
	}
	if !s.mu.TryLock() {
		if !s.exact {
			return
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if s.index.find(e.Hash&hashMask, e.key) == e {
		s.policyOf(e).Use(e.node())
		e.Reset(s.clock.Add(1))
	}
}

// policyOf returns the policy that orders e. Entries of weight 0 have one of their own, so
// that a search for weight does not visit them.
func (s *shard[K, V]) policyOf(e *entry[K, V]) evict.Policy {
	if e.Weight == 0 && s.weightless != nil {
		return s.weightless
	}
	return s.policy
}

// insert adds e or, unless old is nil, replaces old by it, whose slot is at. s.mu is held.
func (s *shard[K, V]) insert(e, old *entry[K, V], at *slot[K, V]) {
	switch {
	case old == nil:
		e.Begin(s.clock.Add(1))
		s.index.insert(e)
		s.policyOf(e).Add(e.node())
		s.size.Add(1)
	case s.touchInterval.Load() > 0: // the clock is not changed, since hits read its cache line
		e.Begin(s.clock.Load())
		s.replace(old, e, at)
	default:
		s.replace(old, e, at)
		s.policyOf(e).Use(e.node())
		e.Reset(s.clock.Add(1))
	}
	s.schedule(e, old)
}

// schedule adds e to a wheel, if it belongs there, and takes old, unless that is nil, out of its
// own. s.mu is held.
func (s *shard[K, V]) schedule(e, old *entry[K, V]) {
	if old != nil && old.scheduled() {
		if e.scheduled() && s.expiring.replace(old, e) {
			return
		}
		s.unschedule(old)
	}
	if e.scheduled() {
		s.expiring.add(e)
	}
}

// replace replaces old by e in the eviction order and the index, where old's slot is at, and takes
// old out of its tags. s.mu is held.
func (s *shard[K, V]) replace(old, e *entry[K, V], at *slot[K, V]) {
	if from, to := s.policyOf(old), s.policyOf(e); from == to {
		to.Replace(old.node(), e.node())
	} else {
		from.Remove(old.node())
		to.Add(e.node())
	}
	at.Store(e) // not before: hits write to the entries that they find
	if old.kind() == tagged {
		s.untag(old)
	}
}

// setTouchInterval updates touchInterval after a change of size. If strict is true, a small
// shard is strict. s.mu is held.
func (s *shard[K, V]) setTouchInterval(strict bool) {
	interval := uint32(max(1, s.size.Load()/touchIntervalDivisor)) //nolint:gosec // far below 2^32
	if s.exact || strict && s.size.Load() < strictBelow {
		interval = 0
	}
	if interval != s.touchInterval.Load() {
		s.touchInterval.Store(interval)
	}
}

// drop removes e, but does not update s's weight. s.mu is held.
func (s *shard[K, V]) drop(e *entry[K, V]) {
	s.index.remove(e)
	s.policyOf(e).Remove(e.node())
	s.unschedule(e)
	if e.kind() == tagged {
		s.untag(e)
	}
	s.size.Add(-1)
}

// clear empties s in constant time, but does not update its size and weight. It returns
// the table of the entries that s held, or nil. s.mu is held.
func (s *shard[K, V]) clear() *table[K, V] {
	s.policy.Clear()
	if s.weightless != nil {
		s.weightless.Clear()
	}
	s.expiring = wheel[K, V]{tick: s.expiring.tick}
	if s.stale != nil {
		*s.stale = wheel[K, V]{tick: s.stale.tick, delay: s.stale.delay, mark: inStale}
	}
	s.tags = nil
	return s.index.takeTable()
}

// unschedule removes e from its wheel, if it is in one. s.mu is held.
func (s *shard[K, V]) unschedule(e *entry[K, V]) {
	switch {
	case !e.scheduled():
	case e.timed().bucket&inStale != 0:
		s.stale.remove(e)
	default:
		s.expiring.remove(e)
	}
}
