package cache

import "github.com/snowfence/snowfence/cache/internal/evict"

// A Policy chooses the entry to evict when the cache is full.
//
// On most traces TinyLFU's hit ratio is as high as that of golang-lru's 2Q and ARC. Where
// only recency counts, as in the OLTP trace with room for a tenth of its keys, LRU's is
// higher. (2Q and ARC cannot be used here: they are caches with locks of their own that
// do not report which entries they evict.)
type Policy uint8

// The policies.
const (
	// LRU evicts approximately the entry that was not used for the longest time: see
	// the package's documentation.
	LRU Policy = iota
	// TinyLFU evicts the entry that is asked for least, by a count that decays and that
	// includes keys which are not stored. It takes 8 bytes more per entry. It is W-TinyLFU,
	// by Einziger, Friedman and Manes, with a window that adapts to the hit ratio.
	TinyLFU
	// StrictLRU evicts exactly the entry that was not used for the longest time, whatever the
	// capacity; only entries that are expired or stale go before it. It is for tests and callers
	// that rely on the order. All entries are in one shard, and a hit waits for the lock that
	// writes take, so it does not scale with the cores: LRU is as good for nearly all else.
	StrictLRU
)

// policies returns a function that makes the policy of a shard.
func (c *Cache[K, V]) policies(p Policy) func() evict.Policy {
	switch p {
	case TinyLFU:
		c.window = evict.NewWindow(c.stripes.hits, c.missesOfRecords, c.Len)
		return func() evict.Policy { return evict.NewTinyLFU(c.window) }
	case StrictLRU:
		return func() evict.Policy { return evict.NewStrict() }
	case LRU:
	}
	return func() evict.Policy { return evict.NewLRU() }
}

// missesOfRecords returns the number of misses without those of keys that have no record: no
// window would make these hits, and a flood of them would hide the effect on the others.
func (c *Cache[K, V]) missesOfRecords() uint64 {
	misses := c.stripes.misses()
	return misses - min(misses, c.counters.notFound.Load()+c.counters.notFoundHits.Load())
}

// observeEvery returns the number of insertions into a shard between two calls of
// Window.Observe. Observe reads each stripe, a cache line, so that is at most one line
// per insertion.
func (c *Cache[K, V]) observeEvery() uint32 {
	return uint32(max(64, len(c.stripes))) //nolint:gosec // far below 2^32
}

// String returns "LRU", "TinyLFU" or "StrictLRU", and "unknown" for any other value.
func (p Policy) String() string {
	switch p {
	case LRU:
		return "LRU"
	case TinyLFU:
		return "TinyLFU"
	case StrictLRU:
		return "StrictLRU"
	default:
		return "unknown"
	}
}
