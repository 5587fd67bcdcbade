package cache

// A Reason says why an entry left the cache.
type Reason uint8

// The reasons.
const (
	ReasonSize     Reason = iota + 1 // the cache was full
	ReasonExpired                    // its TTL had passed
	ReasonDeleted                    // Delete, Clear or Close
	ReasonReplaced                   // a newer value was stored
	ReasonMemory                     // the process came near its memory limit: Options.ShedAbove
)

// String returns "size", "expired", "deleted", "replaced" or "memory".
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

// A departure is an entry that left, for the callback to hear of.
type departure[K comparable, V any] struct {
	entry  *entry[K, V]
	reason Reason
}

// departures are collected under a lock and told after it.
type departures[K comparable, V any] []departure[K, V]

// depart counts an entry that left and keeps it for the callback.
func (c *Cache[K, V]) depart(e *entry[K, V], reason Reason, out *departures[K, V]) {
	switch reason {
	case ReasonSize:
		c.counters.evictions.Add(1)
	case ReasonExpired:
		c.counters.expired.Add(1)
	case ReasonMemory:
		c.counters.shed.Add(1)
	case ReasonDeleted, ReasonReplaced:
	}
	if c.onEviction != nil {
		*out = append(*out, departure[K, V]{e, reason})
	}
}

// reasonFor is otherwise, unless e has expired: then that is why it left.
func (c *Cache[K, V]) reasonFor(e *entry[K, V], otherwise Reason) Reason {
	if c.expired(e) {
		return ReasonExpired
	}
	return otherwise
}

// tell calls the callback. No lock is held.
func (c *Cache[K, V]) tell(out departures[K, V]) {
	for _, d := range out {
		c.tellOne(d)
	}
}

// tellOne survives a callback that panics: it must not turn a good load into a
// failed one, nor end the process from the sweep.
func (c *Cache[K, V]) tellOne(d departure[K, V]) {
	defer func() {
		if recover() != nil {
			c.counters.callbackPanics.Add(1)
		}
	}()
	c.onEviction(d.entry.key, d.entry.value, d.reason)
}
