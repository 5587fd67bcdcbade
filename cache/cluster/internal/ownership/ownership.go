package ownership

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// Units say who owns which key. Their methods may be called at the same time.
type Units interface {
	// Owner returns who owns key as far as this node sees. It does not block. It says that a caller is about to fetch
	// the key: the name of an idle one that this node holds is kept for Config.IdleRelease from now.
	Owner(key string) Owner

	// Claim makes this node the owner of key, unless another is seen to be: it returns who is. If this node owns it
	// already nothing is registered. Claim blocks only while a queue of the registry is full, for Config.ClaimTimeout
	// at most, and however many ask for a key at the same time, its name is registered once.
	//
	// It fails with ErrTimeout, ErrOverloaded, ErrClosed, the cause of ctx, or an error of the registry. After
	// ErrTimeout, or if ctx has ended, the name may still be registered later; it is given up as one that is idle
	// then.
	Claim(ctx context.Context, key string) (Owner, error)

	// Arrived says that this node has an entry for key, Left that it has none any more. Neither blocks.
	Arrived(key string)
	Left(key string)

	// SetMembers says which nodes take part, this one included, in any order. Nobody is asked before the first call.
	// It must not be called by several goroutines at a time.
	SetMembers(nodes []string)

	// Stats returns what was done so far.
	Stats() Stats

	// Close gives all names up and ends what runs. It waits for that, and for calls of Config.Lost, until ctx ends.
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

var (
	// ErrClosed is returned by Claim after Close.
	ErrClosed = errors.New("ownership: closed")

	// ErrTimeout is returned by Claim if the registry had no room for the name in Config.ClaimTimeout.
	ErrTimeout = errors.New("ownership: the registry did not take the name in time")

	// ErrOverloaded is returned by Claim, at once, if too many names wait for the registry already.
	ErrOverloaded = errors.New("ownership: too many names wait for the registry")
)

// A Registry is what Units need of a registry of names: a *registry.Registry, but in tests.
type Registry interface {
	Lookup(name string) (registry.Claim, bool)
	Register(ctx context.Context, name string, meta []byte) (*registry.Registration, error)
}

// Config says how Units work. Registry, Self, Cache and Lost are needed; a ring needs Self and Lost alone.
type Config struct {
	Registry Registry
	Self     string // this node's name
	Cache    string // the cache's name: part of the names that are registered

	// IdleRelease is how long the name of a key that has left is kept; 30 s if it is 0. The name is given up at most
	// a hundredth of that later.
	IdleRelease time.Duration

	// ClaimTimeout is how long a claim may take: longer than no time only if a queue of the registry is full. 250 ms
	// if it is 0.
	ClaimTimeout time.Duration

	// Slots is how many slots there are, 1,024 if it is 0. The same on all nodes.
	Slots int

	// Settle is how long the members must have been the same before slots are claimed or moved without need, and
	// Round the time between two looks at that, in which all nodes together move an eighth of the slots at most; 1 s
	// each if 0.
	Settle time.Duration
	Round  time.Duration

	// Lost is called when this node does not own some keys any more, because it lost conflicts or handed slots over:
	// those for which match returns true. It is called by one goroutine at a time, without locks held; what is lost
	// while it runs is told in one call after it.
	Lost func(match func(key string) bool)

	// LostKeys, if it is not nil, is called in place of Lost where the keys are known one by one: so that nobody has
	// to look through all entries for them. Only by key.
	LostKeys func(keys []string)

	Logger *slog.Logger // nil: nothing is logged
}

func (c Config) withDefaults() Config {
	for p, otherwise := range map[*time.Duration]time.Duration{
		&c.IdleRelease: 30 * time.Second, &c.ClaimTimeout: 250 * time.Millisecond,
		&c.Settle: time.Second, &c.Round: time.Second,
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
