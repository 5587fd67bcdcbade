package cache

import "github.com/snowfence/snowfence/cache/internal/hook"

// A Reason says why an entry left the cache.
type Reason uint8

// The reasons.
const (
	ReasonSize     Reason = iota + 1 // the cache was full
	ReasonExpired                    // its TTL had passed
	ReasonDeleted                    // Delete, Clear or Close, or StoreFor(ctx, 0) in a refresh
	ReasonReplaced                   // there is a newer value, if only one too heavy to be stored
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

// departures are the entries that left while a lock was held: what is left to do
// once it is not.
type evicted[K comparable, V any] struct {
	entries        []*entry[K, V] // for onLeft
	startCallbacks bool           // the goroutine of the callbacks
}

// depart counts an entry that left and queues the notification of it. The shard of
// e is locked; tell follows when it is not.
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
	if c.onLeft != nil {
		out.entries = append(out.entries, e)
	}
}

// reasonFor returns ReasonExpired if e has expired, and fallback otherwise.
func (c *Cache[K, V]) reasonFor(e *entry[K, V], fallback Reason) Reason {
	if c.expired(e) {
		return ReasonExpired
	}
	return fallback
}

// tell finishes what depart began. No lock is held.
func (c *Cache[K, V]) notify(out evicted[K, V]) {
	if out.startCallbacks {
		c.callbacks.start()
	}
	for _, e := range out.entries {
		c.onLeft(e.key)
	}
}

func init() {
	hook.OnLeft = func(cache, f any) {
		cache.(interface{ setOnLeft(f any) }).setOnLeft(f) //nolint:forcetypeassert // package cluster's mistake
	}
}

func (c *Cache[K, V]) setOnLeft(f any) {
	c.onLeft = f.(func(K)) //nolint:forcetypeassert // as above
}
