package cache

import "github.com/snowfence/snowfence/cache/internal/evict"

// A Policy decides which entry goes first when the cache is full.
type Policy uint8

// The policies.
const (
	// LRU evicts what was not used for the longest time.
	LRU Policy = iota
	// TinyLFU evicts what is used least, by frequency and recency.
	TinyLFU
)

func (p Policy) make(window *evict.Window) evict.Policy {
	if p == TinyLFU {
		return evict.NewTinyLFU(window)
	}
	return evict.NewLRU()
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
