package cache

import (
	"container/heap"
	"math"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A shard decides which of its entries goes first. The entries themselves are
// found in Cache.entries; every write of a key is made with its shard locked,
// so the two agree.
type shard[K comparable, V any] struct {
	// mu guards the fields up to the padding and the marks of the shard's
	// entries. It is never held while another lock of this package or user
	// code is waited for; the locks inside Cache.entries may be taken with it.
	mu       sync.Mutex
	recency  *simplelru.LRU[K, *entry[K, V]]
	peak     int // most entries since recency was made
	expiring expiryHeap[K, V]

	loads     map[K]*load // loads under way whose result may be stored
	loadsPeak int         // most of them since the map was made
	_         [64]byte

	// Read on every hit, written on insertion (with mu held).
	clock atomic.Uint32 // see touch
	size  atomic.Int64
	heft  atomic.Int64 // total weight
	_     [64]byte

	hits atomic.Uint64
	_    [64]byte
}

// strictBelow is the number of entries below which a shard is a strict LRU.
const strictBelow = 512

// lagShare is the part of a shard that may be inserted before a hit moves its
// entry to the front again.
const lagShare = 16

func (s *shard[K, V]) init() {
	lru, err := simplelru.NewLRU[K, *entry[K, V]](math.MaxInt, nil)
	if err != nil {
		panic(err) // only for a size below 1
	}
	s.recency, s.peak = lru, 0
}

// touch moves e to the front of the eviction order, unless it is near the front
// anyway or somebody holds the lock. The shard's clock counts insertions, and in
// a small shard also moves, so that there the entry moved last is known exactly.
func (s *shard[K, V]) touch(e *entry[K, V]) {
	size := s.size.Load()
	lag := uint32(max(1, size/lagShare)) //nolint:gosec // far below 2^32
	if size < strictBelow {
		lag = 1
	}
	if s.clock.Load()-e.touched.Load() < lag || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if current, ok := s.recency.Get(e.key); !ok || current != e {
		return
	}
	if size < strictBelow {
		s.clock.Add(1)
	}
	e.touched.Store(s.clock.Load())
}

// insert adds e as the newest entry, in place of old unless that is nil. s.mu
// is held.
func (s *shard[K, V]) insert(e, old *entry[K, V]) {
	s.recency.Add(e.key, e)
	if old == nil {
		s.size.Add(1)
		s.heft.Add(int64(e.weight))
	} else {
		s.heft.Add(int64(e.weight) - int64(old.weight))
		s.unschedule(old)
	}
	if e.expires != never {
		heap.Push(&s.expiring, e)
	}
	e.touched.Store(s.clock.Add(1))
	s.peak = max(s.peak, s.recency.Len())
}

// drop takes e out. s.mu is held.
func (s *shard[K, V]) drop(e *entry[K, V]) {
	s.recency.Remove(e.key)
	s.unschedule(e)
	s.size.Add(-1)
	s.heft.Add(-int64(e.weight))
	s.shrink()
}

// unschedule takes e out of the order of expiry, if it is in it. s.mu is held.
func (s *shard[K, V]) unschedule(e *entry[K, V]) {
	if e.heapAt >= 0 {
		heap.Remove(&s.expiring, int(e.heapAt))
	}
}

// tablesKept is the size up to which tables are not worth shrinking.
const tablesKept = 1024

// shrink rebuilds recency once only a quarter of its peak is left: the map in
// it would keep its size for good. The cost is spread over the removals that
// led here. s.mu is held.
func (s *shard[K, V]) shrink() {
	if s.peak < tablesKept || s.recency.Len() > s.peak/4 {
		return
	}
	old := s.recency
	s.init()
	for _, key := range old.Keys() { // oldest first
		e, _ := old.Peek(key)
		s.recency.Add(key, e)
	}
	s.peak = s.recency.Len()
}

// register makes l the load whose result may be stored for key. s.mu is held.
func (s *shard[K, V]) register(key K, l *load) {
	if s.loads == nil {
		s.loads = make(map[K]*load)
	}
	s.loads[key] = l
	s.loadsPeak = max(s.loadsPeak, len(s.loads))
}

// deregister has the result of no load that is under way stored for key. A map
// that was large once is given up when it is empty. s.mu is held.
func (s *shard[K, V]) deregister(key K) {
	delete(s.loads, key)
	if len(s.loads) == 0 && s.loadsPeak >= tablesKept {
		s.loads, s.loadsPeak = nil, 0
	}
}
