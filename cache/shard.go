package cache

import (
	"sync"
	"sync/atomic"

	"github.com/snowfence/snowfence/cache/internal/evict"
)

// A shard holds a part of the entries, finds them, and decides which of them
// goes first.
type shard[K comparable, V any] struct {
	// mu guards the fields up to the padding, the places of the shard's entries
	// and writing to its index. It is never held while another lock of this
	// package or user code is waited for.
	mu         sync.Mutex
	policy     evict.Policy
	weightless *evict.LRU // has what weighs nothing, if there is a MaxWeight; else nil
	expiring   wheel[K, V]

	loads loads[K]
	_     [80]byte // so that what a hit reads of a shard is one cache line

	// Read on every hit, written on insertion (with mu held).
	index         index[K, V]
	clock         atomic.Uint32 // counts insertions; see touch
	touchInterval atomic.Uint32 // see touch; 0: the shard is strict
	size          atomic.Int64
	light         atomic.Int64 // weight of the entries that are not heavy; see Cache.heavyAbove
	heavy         atomic.Int64 // weight of the others
	_             [64]byte
}

// strictBelow is the number of entries below which a shard is a strict LRU.
const strictBelow = 512

// lagShare is the part of a shard that may be inserted before another use of the
// same entry is noted.
const touchIntervalDivisor = 16

// touch notes that e was used, at most once in the time in which a sixteenth of
// the shard is inserted. So a hit writes nothing or, now and then, to its own
// entry.
//
// A small LRU moves e at once, unless e was moved last or somebody holds the
// lock: its clock counts moves, too.
func (s *shard[K, V]) touch(e *entry[K, V]) {
	if lag := s.touchInterval.Load(); lag > 0 {
		e.Touch(s.clock.Load(), lag)
		return
	}
	if e.UntouchedSince(s.clock.Load()) || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.index.find(e.Hash&hashMask, e.key) == e {
		s.policyOf(e).Use(e.node())
		e.Reset(s.clock.Add(1))
	}
}

// policyOf returns the order of eviction that e is in. What weighs nothing has one
// of its own, so that a search for weight does not come by it.
func (s *shard[K, V]) policyOf(e *entry[K, V]) evict.Policy {
	if e.Weight == 0 && s.weightless != nil {
		return s.weightless
	}
	return s.policy
}

// insert adds e, in place of old unless that is nil. s.mu is held.
func (s *shard[K, V]) insert(e, old *entry[K, V]) {
	switch {
	case old == nil:
		e.Reset(s.clock.Add(1))
		s.index.insert(e)
		s.policyOf(e).Add(e.node())
		s.size.Add(1)
	case s.touchInterval.Load() > 0: // the clock stays: hits read it
		e.Reset(s.clock.Load())
		s.replace(old, e)
	default:
		s.replace(old, e)
		s.policyOf(e).Use(e.node())
		e.Reset(s.clock.Add(1))
	}
	if e.scheduled() {
		s.expiring.add(e)
	}
}

// replace puts e in place of old. s.mu is held.
func (s *shard[K, V]) replace(old, e *entry[K, V]) {
	s.index.replace(old, e)
	if from, to := s.policyOf(old), s.policyOf(e); from == to {
		to.Replace(old.node(), e.node())
	} else {
		from.Remove(old.node())
		to.Add(e.node())
	}
	s.unschedule(old)
}

// setLag updates lag after a change of size. s.mu is held.
func (s *shard[K, V]) setTouchInterval(strict bool) {
	lag := uint32(max(1, s.size.Load()/touchIntervalDivisor)) //nolint:gosec // far below 2^32
	if strict && s.size.Load() < strictBelow {
		lag = 0
	}
	if lag != s.touchInterval.Load() {
		s.touchInterval.Store(lag)
	}
}

// drop takes e out. s.mu is held.
func (s *shard[K, V]) drop(e *entry[K, V]) {
	s.index.remove(e)
	s.policyOf(e).Remove(e.node())
	s.unschedule(e)
	s.size.Add(-1)
}

// clear empties s, but for its size and weight, and returns the table of what it
// held. It takes the same time however much that was. s.mu is held.
func (s *shard[K, V]) clear() *table[K, V] {
	s.policy.Clear()
	if s.weightless != nil {
		s.weightless.Clear()
	}
	s.expiring = wheel[K, V]{tick: s.expiring.tick}
	return s.index.takeTable()
}

// unschedule takes e out of the order of expiry, if it is in it. s.mu is held.
func (s *shard[K, V]) unschedule(e *entry[K, V]) {
	if e.scheduled() {
		s.expiring.remove(e)
	}
}
