package cache

// A Reason is the cause for which an entry left the cache.
type Reason uint8

// The reasons. An entry that was removed after its TTL and Options.StaleFor had passed has
// ReasonExpired, whatever removed it.
const (
	ReasonSize     Reason = iota + 1 // evicted, since the cache was full
	ReasonExpired                    // the TTL had passed, and StaleFor, if it is set
	ReasonDeleted                    // by Delete, Clear, InvalidateTag, ErrNotFound and the like
	ReasonReplaced                   // by a newer value, stored or too heavy to be stored
	ReasonMemory                     // evicted near the memory limit, see Options.ShedAbove
)

// String returns "size", "expired", "deleted", "replaced" or "memory", and "unknown" for
// any other value.
func (r Reason) String() string {
	switch r {
	case ReasonSize:
		return "size"
	case ReasonExpired:
		return "expired"
	case ReasonDeleted:
		return "deleted"
	case ReasonReplaced:
		return "replaced"
	case ReasonMemory:
		return "memory"
	default:
		return "unknown"
	}
}

// evicted collects the work that is left, once a shard is unlocked, for the entries that left
// while it was locked.
type evicted[K comparable, V any] struct {
	entries        []*entry[K, V] // to call onChange and onRemoval for
	startCallbacks bool           // whether callbacks.start has to be called
}

// record counts an entry that left, and queues its notification. e's shard is locked; notify has to
// be called with out once it is unlocked.
func (c *Cache[K, V]) record(e *entry[K, V], reason Reason, out *evicted[K, V]) {
	switch reason {
	case ReasonSize:
		c.counters.evictions.Add(1)
	case ReasonExpired:
		c.counters.expired.Add(1)
	case ReasonMemory:
		c.counters.shed.Add(1)
	case ReasonDeleted, ReasonReplaced:
	}
	if c.callbacks.call != nil && c.callbacks.enqueue(e, reason) {
		out.startCallbacks = true
	}
	// settle calls onChange for what was replaced.
	if (c.onChange != nil || c.onRemoval != nil) && reason != ReasonReplaced {
		out.entries = append(out.entries, e)
	}
}

// reasonFor returns ReasonExpired if e is gone, and fallback otherwise.
func (c *Cache[K, V]) reasonFor(e *entry[K, V], fallback Reason) Reason {
	if c.gone(e) {
		return ReasonExpired
	}
	return fallback
}

// notify starts the callbacks of the entries in out, and calls onChange and onRemoval for them. No
// lock is held.
func (c *Cache[K, V]) notify(out evicted[K, V]) {
	if out.startCallbacks {
		c.callbacks.start()
	}
	for _, e := range out.entries {
		if c.onChange != nil {
			c.onChange(e.key)
		}
		if c.onRemoval != nil {
			c.onRemoval(e.key, e.value)
		}
	}
}
