package hook

import (
	"iter"
	"time"
)

// SnapshotsOf returns the Snapshots of a *cache.Cache[K, V].
func SnapshotsOf[K comparable, V any](cache interface{ hooks() any }) Snapshots[K, V] {
	return cache.hooks().(Snapshots[K, V]) //nolint:errcheck,forcetypeassert // else a caller's bug
}

// Snapshots does for a cache.Cache what package cachefile needs and its API does not offer. The
// methods are safe for concurrent use.
type Snapshots[K comparable, V any] interface {
	// Snapshot returns an iterator over the entries that the cache has now, but for those that are
	// gone, and their number at most. The hottest come first: in the order in which the policy would
	// keep them. Times are those of the call. The lock of a shard is held while pointers are copied.
	// The iterator skips an entry that was removed meanwhile, and yields the new value of one that
	// was replaced. Entries that were evicted stay in memory as long as it does. The error is
	// cache.ErrClosed.
	Snapshot() (entries iter.Seq[Saved[K, V]], n int, err error)

	// TTL returns Options.TTL, or cache.Forever.
	TTL() time.Duration

	// Restore begins a Restore. Its Close has to be called.
	Restore() Restore[K, V]
}

// A Saved is an entry in a snapshot.
type Saved[K comparable, V any] struct {
	Key   K
	Value V
	Rest  time.Duration // of the TTL, or cache.Forever; not above 0: the time since it ended
	Age   time.Duration // since the value was stored, or cache.AgeUnknown
	Count uint32        // how often the policy has counted it of late; 0 if the policy does not count
}

// A Restore stores entries of an earlier process. It never replaces what the cache has, and evicts
// nothing. What was stored, deleted or invalidated since the Restore began is not restored, nor is
// a key of which the cache knows that there is no record. The result of a load that is under way
// replaces what was restored. A Restore is for one goroutine.
type Restore[K comparable, V any] interface {
	// Add takes an entry, whose times are those of the begin of the Restore, to be stored by
	// Store. It calls Weigher and Tags. Entries must be added
	// from the hottest to the coldest.
	Add(e Saved[K, V]) Fit

	// Store stores the entries, the coldest first, so that the hottest are evicted last. It
	// returns the number of those that it has stored. It must be called once at most.
	Store() int

	// Close ends the Restore.
	Close()
}

// A Fit tells whether an entry that was added to a Restore can be stored.
type Fit uint8

// The answers.
const (
	Fits     Fit = iota
	Gone         // neither its TTL nor StaleFor has time left
	Known        // the cache has a value of the key, or the key can't be stored
	TooHeavy     // there is no room for the entry, but there may be for lighter ones
	Full         // there is no room for the entry, nor for later ones
)
