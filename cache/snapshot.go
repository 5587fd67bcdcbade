package cache

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/snowfence/snowfence/cache/internal/evict"
	"github.com/snowfence/snowfence/cache/internal/hook"
)

// This file implements hook.Snapshots for a cache. The order of an entry in the file that package
// cachefile makes of a snapshot is decided here.

// A ranked is an entry of a snapshot.
type ranked[K comparable, V any] struct {
	evict.Ranked
	// place is the entry's place in its part of the policy, from 0 to 1. A smaller cache would have
	// the parts in the same proportion, so it would keep the entries of each part up to one place.
	place float64
}

func (r *ranked[K, V]) entry() *entry[K, V] { return entryOf[K, V](r.Node) }

func (h hooks[K, V]) TTL() time.Duration { return h.ttl }

func (h hooks[K, V]) Snapshot() (entries iter.Seq[hook.Saved[K, V]], n int, err error) {
	now := h.clock.now()
	fresh := make([][]ranked[K, V], len(h.shards))
	stale := make([][]ranked[K, V], len(h.shards)) // they are evicted first
	for i := range h.shards {
		all := h.snapshotShard(&h.shards[i], now)
		at := slices.IndexFunc(all, func(r ranked[K, V]) bool { return r.expired(now) > 0 })
		if at < 0 {
			at = len(all)
		}
		fresh[i], stale[i] = all[:at], all[at:]
		n += len(all)
	}
	if h.closed.Load() { // then some shards may have been empty
		return nil, 0, ErrClosed
	}
	return func(yield func(hook.Saved[K, V]) bool) {
		for r := range inTurn(fresh, stale) {
			if s, ok := h.saved(&r, now); ok && !yield(s) {
				return
			}
		}
	}, n, nil
}

// inTurn yields the entries of the shards in each of phases, the first of each shard first. Keys
// are spread over the shards at random, so the shards' n-th entries are about as hot.
func inTurn[K comparable, V any](phases ...[][]ranked[K, V]) iter.Seq[ranked[K, V]] {
	return func(yield func(ranked[K, V]) bool) {
		for _, shards := range phases {
			for at, more := 0, true; more; at++ {
				more = false
				for _, entries := range shards {
					if at >= len(entries) {
						continue
					}
					if more = true; !yield(entries[at]) {
						return
					}
				}
			}
		}
	}
}

// snapshotShard returns the entries of s that are not gone at now: those that have not expired
// first, and of both the hottest first.
func (h hooks[K, V]) snapshotShard(s *shard[K, V], now int64) []ranked[K, V] {
	var orders [2]evict.Snapshot
	s.mu.Lock()
	clock, interval := s.clock.Load(), s.touchInterval.Load()
	orders[0] = evict.SnapshotOf(s.policy, clock, interval)
	if s.weightless != nil {
		orders[1] = evict.SnapshotOf(s.weightless, clock, interval)
	}
	size := s.size.Load()
	s.mu.Unlock()

	var parts [evict.Parts][]ranked[K, V]
	for i := range orders {
		for r := range orders[i].All {
			if e := entryOf[K, V](r.Node); !e.goneBy(now, h.staleFor) {
				parts[r.Part] = append(parts[r.Part], ranked[K, V]{Ranked: r})
			}
		}
	}
	entries := make([]ranked[K, V], 0, size)
	for _, part := range parts {
		h.rank(s, part)
		entries = append(entries, part...)
	}
	slices.SortStableFunc(entries, func(a, b ranked[K, V]) int {
		return cmp.Or(a.expired(now)-b.expired(now), cmp.Compare(a.place, b.place))
	})
	return entries
}

// rank sets the counts and places of entries, a part of s, and sorts it.
func (h hooks[K, V]) rank(s *shard[K, V], entries []ranked[K, V]) {
	if counter, ok := s.policy.(evict.Counter); ok {
		for some := range slices.Chunk(entries, sweepBatch) {
			s.mu.Lock()
			for i := range some {
				some[i].Count = counter.Count(some[i].Node)
			}
			s.mu.Unlock()
		}
	}
	slices.SortStableFunc(entries, func(a, b ranked[K, V]) int { return a.Compare(b.Ranked) })
	for i := range entries {
		entries[i].place = float64(i) / float64(len(entries))
	}
}

// expired returns 1 if the entry has expired at now, and 0 otherwise.
func (r *ranked[K, V]) expired(now int64) int {
	if r.entry().expiry() <= now {
		return 1
	}
	return 0
}

// saved returns what is saved of r: the entry that its key has by now, if any, since it may have
// been deleted since the snapshot was taken, at now.
func (h hooks[K, V]) saved(r *ranked[K, V], now int64) (s hook.Saved[K, V], ok bool) {
	in, hash := h.shardOf(r.entry().key)
	e := in.index.find(hash, r.entry().key)
	if e == nil || h.gone(e) {
		return s, false
	}
	s = hook.Saved[K, V]{Key: e.key, Value: e.value, Rest: Forever, Age: AgeUnknown, Count: r.Count}
	if expires := e.expiry(); expires != never {
		s.Rest = time.Duration(expires - now)
	}
	if e.kind() >= lived {
		s.Age = max(0, time.Duration(now-e.lived().storedAt))
	}
	return s, true
}

// longestPast bounds how long before the cache its clock begins.
const longestPast = 10 * 365 * 24 * time.Hour

// changes records the keys of a shard that have changed since a Restore began. The shard's lock
// guards it.
type changes struct {
	restores int
	hashes   map[uint32]struct{} // a key that has the hash of another one is not restored either
	all      bool                // any key may have changed
}

// changesKept bounds the changes that are recorded. A shard with more of them is warm.
const changesKept = 1 << 16

func (c *changes) note(hash uint32) {
	if c == nil || c.all {
		return
	}
	c.hashes[hash] = struct{}{}
	if len(c.hashes) > changesKept {
		c.noteAll()
	}
}

func (c *changes) noteAll() {
	if c != nil {
		c.all, c.hashes = true, nil
	}
}

func (c *changes) has(hash uint32) bool {
	_, ok := c.hashes[hash]
	return ok || c.all
}

// A restore implements hook.Restore.
type restore[K comparable, V any] struct {
	*Cache[K, V]
	now           int64  // when the restore began
	invalidations uint32 // so far, then
	entries       []restored[K, V]
	weight        int64
}

// roomDivisor sets the room, as a fraction of MaxWeight, that is worth searching for an entry that
// fits.
const roomDivisor = 32

type restored[K comparable, V any] struct {
	entry *entry[K, V]
	tags  []string
	count uint32
}

func (h hooks[K, V]) Restore() hook.Restore[K, V] {
	r := &restore[K, V]{Cache: h.Cache, now: h.clock.now(), invalidations: h.invalidated.seq.Load()}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		if s.changes == nil {
			s.changes = &changes{hashes: make(map[uint32]struct{})}
		}
		s.changes.restores++
		s.mu.Unlock()
	}
	return r
}

func (r *restore[K, V]) Close() {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.changes.restores--
		if s.changes.restores == 0 {
			s.changes = nil
		}
		s.mu.Unlock()
	}
}

func (r *restore[K, V]) Add(e hook.Saved[K, V]) hook.Fit {
	if r.closed.Load() || r.tooMany(int64(len(r.entries))+1) {
		return hook.Full
	}
	if !equalsItself(e.Key) {
		return hook.Known
	}
	s, hash := r.shardOf(e.Key)
	if now := s.index.find(hash, e.Key); now != nil && !r.gone(now) {
		return hook.Known
	}
	made, tags := r.make(hash, e)
	if made == nil {
		return hook.Gone
	}
	weight := int64(made.Weight)
	if weight > 0 && r.tooHeavy(r.weight+weight) {
		if left := r.maxWeight - r.Cache.weight.Load() - r.weight; left > r.maxWeight/roomDivisor {
			return hook.TooHeavy
		}
		return hook.Full
	}
	r.weight += weight
	r.entries = append(r.entries, restored[K, V]{made, tags, e.Count})
	return hook.Fits
}

// make makes the entry of e, or returns nil if it is gone.
func (r *restore[K, V]) make(hash uint32, e hook.Saved[K, V]) (made *entry[K, V], tags []string) {
	now, expires := r.now, int64(never)
	if e.Rest != Forever {
		if e.Rest <= -r.staleFor {
			return nil, nil
		}
		expires = addTime(now, e.Rest)
		if now >= 0 { // otherwise in a synctest bubble, see clock
			expires = max(0, expires)
		}
	}
	tags = r.tagsFor(e.Key, e.Value)
	weight := r.weigh(e.Key, e.Value)
	if expires == never && !r.lives && len(tags) == 0 {
		return &entry[K, V]{evict.Node{Hash: hash, Weight: weight}, e.Key, e.Value}, nil
	}
	storedAt := now - int64(max(0, e.Age))
	made = r.entryUntil(hash, e.Key, e.Value, weight, storedAt, expires, len(tags) > 0)
	if r.refreshAt > 0 && e.Rest > 0 {
		// Spread over the rest of the TTL, as the entries' first Fetch may come at one time.
		made.lived().refreshAt.Store(r.firstRefresh(now, expires))
	}
	return made, tags
}

func (r *restore[K, V]) Store() (n int) {
	for _, e := range slices.Backward(r.entries) {
		if r.storeOne(e) {
			n++
		}
	}
	r.entries = nil
	return n
}

// storeOne stores e unless the key has changed or there is no room, and reports whether it did.
func (r *restore[K, V]) storeOne(e restored[K, V]) bool {
	key := e.entry.key
	s, hash := r.shardOf(key)
	var p placed[K, V]
	s.mu.Lock()
	old := s.index.find(hash, key)
	switch {
	case r.closed.Load(), s.changes.has(hash), old != nil && !r.gone(old),
		s.missing.find(key, &r.clock) != nil, r.invalidatedSince(r.invalidations, e.tags),
		old == nil && r.tooMany(1), r.tooHeavy(int64(e.entry.Weight)):
		s.mu.Unlock()
		return false
	}
	r.put(s, e.entry, e.tags, false, &p)
	if counter, ok := s.policyOf(e.entry).(evict.Counter); ok && e.count > 1 {
		counter.Credit(e.entry.node(), min(e.count, math.MaxUint8)-1)
	}
	s.mu.Unlock()
	r.settle(s, e.entry, &p)
	return true
}
