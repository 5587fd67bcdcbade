package ownership

import (
	"context"
	"log/slog"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// Units say who owns which key. Their methods may be called at the same time.
type Units interface {
	// Owner returns who owns key as far as this node sees. It does not block.
	Owner(key string) Owner

	// Claim makes this node the owner of key, unless another is seen to be: it returns who is. It fails if the name could not
	// be registered within Config.ClaimTimeout, with the cause of ctx, or because the registry or the Units are closed.
	Claim(ctx context.Context, key string) (Owner, error)

	// Arrived says that this node has an entry for key, Left that it has none any more. Neither blocks.
	Arrived(key string)
	Left(key string)

	// SetMembers says which nodes take part, this one included. Nobody is asked before the first call.
	SetMembers(nodes []string)

	// Stats returns what was done so far.
	Stats() Stats

	// Close gives everything up and ends what runs. It waits for that until ctx ends.
	Close(ctx context.Context) error
}

// An Owner is the node that owns a key, or should.
type Owner struct {
	Node string // empty: there are no members
	Held bool   // false: nobody owns the key, and Node is the one to claim it
}

// Stats count names.
type Stats struct {
	Held     int    // now
	Claimed  uint64 // so far
	Released uint64 // given up
	Lost     uint64 // lost in a conflict
}

// Config says how Units work.
type Config struct {
	Registry *registry.Registry
	Self     string // this node's name
	Cache    string // the cache's name: part of the names that are registered

	// IdleRelease is how long the name of a key that has left is kept.
	IdleRelease time.Duration

	// ClaimTimeout is how long a claim may take: longer than no time only if a queue of the registry is full. 250 ms if it is 0.
	ClaimTimeout time.Duration

	// Slots is how many slots there are.
	Slots int

	// Settle is how long the members must have been the same before slots are claimed or moved without need; 1 s if it is 0. In each Round, 1 s if it is
	// 0, a quarter of all slots are moved at most.
	Settle time.Duration
	Round  time.Duration

	// Lost is called when this node does not own some keys any more, because it lost a conflict or handed them over: those for
	// which match returns true. It may be called by several goroutines.
	Lost func(match func(key string) bool)

	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.ClaimTimeout == 0 {
		c.ClaimTimeout = 250 * time.Millisecond
	}
	if c.Settle == 0 {
		c.Settle = time.Second
	}
	if c.Round == 0 {
		c.Round = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
