package courier

import (
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
)

// A table holds a courier's shards. A courier makes it on first use, so that its zero value works.
type table[K comparable, V any] struct {
	seed   maphash.Seed
	shards []shard[K, V] // a power of two
}

// A shard holds the flights of a part of the keys, so that fetches of different keys seldom wait
// for the same lock.
type shard[K comparable, V any] struct {
	courier *Courier[K, V]

	// tracked is the number of keys that Forget would change something for. It is written with mu
	// held and read without, so that Forget costs one load while no flight is under way.
	tracked atomic.Int64

	// mu guards everything below, and the mutable fields of every flight of the shard. With mu held
	// these may be taken: the locks of turns, of stuckInAll, of signal and of the log. No two
	// shards' locks are held together, and none together with a flight's lock of the wait-for
	// graph, or that of batch.joined.
	mu        sync.Mutex
	flights   flights[K, V]              // live flights that own their key
	detached  map[*flight[K, V]]struct{} // live flights that own no key any more
	limited   deadlines[K, V]            // live flights with a time-out
	history   history[K]
	stuck     map[K]*stuckKey            // keys with functions that are stuck
	labels    labelSets                  // that no flight uses
	outside   chan struct{}              // made outside of any bubble; see makeDone
	abandoned map[*flight[K, V]]struct{} // flights that are over, with goroutines that run on
	busy      int                        // flights with a goroutine still running
	closed    bool
	stats     Stats
	timings   timings[K] // waits needs no lock

	_ [64]byte // keeps the next shard's tracked and mu off this one's cache lines
}

// shardOf returns the shard of key, and its hash. A key that does not equal itself
// may not even be hashable ({NaN, a slice}), and is never looked for.
func (c *Courier[K, V]) shardOf(key K, equalsItself bool) (s *shard[K, V], hash uint64) {
	t := c.table.Load()
	if t == nil {
		t = c.makeTable()
	}
	if !equalsItself {
		return &t.shards[0], 0
	}
	hash = maphash.Comparable(t.seed, key)
	return &t.shards[hash&uint64(len(t.shards)-1)], hash
}

// makeTable makes the courier's table, unless another goroutine has, and returns it.
func (c *Courier[K, V]) makeTable() *table[K, V] {
	n := 1
	for n < 2*runtime.GOMAXPROCS(0) {
		n *= 2
	}
	t := &table[K, V]{seed: maphash.MakeSeed(), shards: make([]shard[K, V], n)}
	for i := range t.shards {
		s := &t.shards[i]
		s.courier = c
		s.history.init(&c.cfg, n)
	}
	if c.table.CompareAndSwap(nil, t) {
		return t
	}
	return c.table.Load()
}

// shards yields each of the courier's shards; none before its first use.
func (c *Courier[K, V]) shards(yield func(*shard[K, V]) bool) {
	t := c.table.Load()
	if t == nil {
		return
	}
	for i := range t.shards {
		if !yield(&t.shards[i]) {
			return
		}
	}
}

// track updates tracked after a change of flights or history. s.mu is held.
func (s *shard[K, V]) track() {
	s.tracked.Store(int64(s.flights.n + s.history.failing()))
}
