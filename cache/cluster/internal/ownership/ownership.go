package ownership

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// Units say who owns which key. Their methods may be called at the same time.
type Owners interface {
	// Owner returns the node that owns key, as far as this node sees: the one that holds its name
	// or, if none does, its home. It is empty if there are no members. It does not block. It says
	// that a caller is about to fetch the key: the name of an idle one that this node holds is kept
	// for Config.IdleRelease from now.
	Owner(key string) string

	// Changed says that this node's entry for key has come or gone: Config.Has tells which. If it
	// is there, and the key is this node's and nobody holds its name, the name is registered. It
	// does not block, and calls for one key may overtake each other.
	Changed(key string)

	// SetMembers says which nodes take part, this one included, in any order. No other node is
	// asked before the first call. It must not be called by several goroutines at a time.
	SetMembers(nodes []string)

	// Stats returns what was done so far.
	Stats() Stats

	// Close gives all names up and ends what runs. It waits for that, and for calls of Config.Lost,
	// until ctx ends.
	Close(ctx context.Context) error
}

// Stats count names.
type Stats struct {
	Held     int    // now
	Claimed  uint64 // so far
	Released uint64 // given up
	Lost     uint64 // lost in a conflict
}

// A Registry is what Units need of a registry of names: a *registry.Registry, but in tests.
type Registry interface {
	Lookup(name string) (registry.Claim, bool)
	Register(ctx context.Context, name string, meta []byte) (*registry.Registration, error)
}

// Config says how Units work. Registry, Self, Cache, Has, Keys and Lost are needed; a ring needs
// Self, Keys and Lost alone.
type Config struct {
	Registry Registry
	Self     string // this node's name
	Cache    string // the cache's name: part of the names that are registered

	// IdleRelease is how long the name of a key that has left is kept; 30 s if it is 0. The name is
	// given up at most a hundredth of that later.
	IdleRelease time.Duration

	// Slots is how many slots there are, 1,024 if it is 0. The same on all nodes.
	Slots int

	// Settle is how long the members must have been the same before slots are claimed or moved
	// without need, and Round the time between two looks at that, in which all nodes together move
	// an eighth of the slots at most; 1 s each if 0.
	Settle time.Duration
	Round  time.Duration

	// Has reports whether this node has an entry for key. It is called with locks held.
	Has func(key string) bool

	// Keys are those that this node has entries for.
	Keys iter.Seq[string]

	// Lost is called for each key of Keys that this node does not own any more, because it lost a
	// conflict or handed a slot over. It is called by one goroutine at a time, without locks held.
	Lost func(key string)

	Logger *slog.Logger // nil: nothing is logged
}

func (c Config) withDefaults() Config {
	for p, otherwise := range map[*time.Duration]time.Duration{
		&c.IdleRelease: 30 * time.Second, &c.Settle: time.Second, &c.Round: time.Second,
	} {
		if *p <= 0 {
			*p = otherwise
		}
	}
	if c.Slots == 0 {
		c.Slots = 1024
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
