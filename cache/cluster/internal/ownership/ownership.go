package ownership

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// Owners finds the owner of each key. Its methods may be called by several goroutines at a time.
type Owners interface {
	// Owner returns the node that owns key, as far as this node sees: the holder of its name or, if
	// nobody holds it, its home. It is empty if there are no members. It does not block. A call means
	// that a caller is about to fetch the key: if this node holds the name of an idle key, it keeps it
	// for another Config.IdleRelease.
	Owner(key string) string

	// Changed says that this node's entry for key has come or gone; Config.Has tells which. If there
	// is an entry of an own key whose name nobody holds, the name is claimed. Changed does not block,
	// and calls for one key may overtake each other.
	Changed(key string)

	// SetMembers replaces the members, this node included, in any order. No other node is an owner
	// before the first call. It must not be called by several goroutines at a time.
	SetMembers(nodes []string)

	// Stats returns the counts so far.
	Stats() Stats

	// Shares returns how many slots each node owns, as far as this node sees; nil if keys have no
	// slots. It looks at each slot.
	Shares() map[string]int

	// Close releases all names. It waits until that is done and calls of Config.Lost have ended, or
	// until ctx ends.
	Close(ctx context.Context) error
}

// Stats counts names.
type Stats struct {
	Held     int    // now
	Claimed  uint64 // so far
	Released uint64 // on purpose
	Lost     uint64 // lost in a conflict
}

// A Registry is the part of a *registry.Registry that Owners use.
type Registry interface {
	Lookup(name string) (registry.Claim, bool)
	Register(ctx context.Context, name string, meta []byte) (*registry.Registration, error)
}

// Config configures Owners. A ring needs Self, Keys and Lost alone; IdleRelease is for keys, and
// Slots, Settle and Round are for slots.
type Config struct {
	Registry Registry
	Self     string // this node's name
	Cache    string // the cache's name, which is part of the names that are claimed

	// IdleRelease is how long the name of a key that has left is kept. It is released at most a
	// hundredth of that later.
	IdleRelease time.Duration

	// Slots is the number of slots, the same on all nodes.
	Slots int

	// Settle is how long the members must have been the same before slots are claimed or released
	// without need. Round is the time between two looks at the slots; all nodes together release at
	// most an eighth of the slots in it.
	Settle time.Duration
	Round  time.Duration

	// Has reports whether this node has an entry for key. It is called with locks held.
	Has func(key string) bool

	// Keys yields the keys that this node has entries for.
	Keys iter.Seq[string]

	// Lost is called for each key of Keys that this node does not own any more, because it lost a
	// conflict or released a slot. One goroutine at a time calls it, without locks held.
	Lost func(key string)

	Logger *slog.Logger
}
