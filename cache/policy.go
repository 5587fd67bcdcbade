package cache

import "github.com/snowfence/snowfence/cache/internal/evict"

// A Policy decides which entry goes first when the cache is full.
//
// (golang-lru's 2Q and ARC are caches with locks of their own that tell nobody whom
// they evict, so they can't serve below a TTL, a weight or OnEviction. On most
// traces TinyLFU does as well; where recency is all that counts, as in the OLTP
// trace with room for a tenth of its keys, LRU is the better one.)
type Policy uint8

// The policies.
const (
	// LRU evicts what was not used for the longest time, nearly: see the
	// package's page.
	LRU Policy = iota
	// TinyLFU evicts what is asked for least, by a count that fades and that
	// remembers keys which are not stored. It takes 8 bytes more per entry. It is
	// W-TinyLFU, by Einziger, Friedman and Manes, with a window that adapts.
	TinyLFU
)

// policies returns what makes the policy of a shard.
func (c *Cache[K, V]) policies(p Policy) func() evict.Policy {
	if p == TinyLFU {
		c.window = evict.NewWindow(c.stripes.hits, c.stripes.misses, c.Len)
		return func() evict.Policy { return evict.NewTinyLFU(c.window) }
	}
	return func() evict.Policy { return evict.NewLRU() }
}

// observeEvery is how many insertions into a shard are between two looks at the
// window: to look reads each stripe, a cache line, so that is at most one line for
// an insertion.
func (c *Cache[K, V]) observeEvery() uint32 {
	return uint32(max(64, len(c.stripes))) //nolint:gosec // far below 2^32
}

// String returns "LRU" or "TinyLFU".
func (p Policy) String() string {
	switch p {
	case LRU:
		return "LRU"
	case TinyLFU:
		return "TinyLFU"
	default:
		return "unknown"
	}
}
