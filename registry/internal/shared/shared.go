// Package shared is how package group reaches the registry's second space of names, without a door
// in the registry's public face.
//
// On a name of the first space one claim wins. On one of the second the claims of all nodes stand
// side by side, one for each node. The two spaces have nothing in common but the protocol: each has
// partitions of its own, with their own queues, and the same bytes may be a name in both. A
// registry's partitions are numbered on the wire from 0 up, those of the second space follow after
// the first's.
//
// The second space costs nothing where it isn't used: its partitions sleep. Whoever opens it wakes
// those of its own node, and their first message wakes the others'. From then on every node has a
// full copy, as of the first.
package shared

import (
	"context"
	"log/slog"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Space is the second space of one registry. Its methods may be called at the same time, but for
// those that say so.
type Space interface {
	// Node returns the name of the registry's node.
	Node() string
	// Log returns the registry's logger.
	Log() *slog.Logger
	// Now returns a timestamp of the registry's clock, each later than the one before.
	Now() hlc.Timestamp
	// CheckMeta fails with the registry's error if this is more metadata than its configuration
	// allows.
	CheckMeta(name string, meta []byte) error

	// Edit replaces the metadata of this node's claim on name by what edit makes of them (nil: there
	// is no claim), once there is room in the queue. It fails as the registry's Register does, or as
	// edit does. edit runs under the lock of the name's partition and may be called several times; it
	// must neither block nor modify its argument, and what it returns must not be modified afterwards.
	Edit(ctx context.Context, name string, edit func(meta []byte) ([]byte, error)) error
	// Shrink is Edit where things become less: it waits for no room. No metadata withdraw the claim,
	// for the reason that why says. Nothing happens if there is no claim, or edit says false.
	Shrink(name string, why replica.Why, edit func(meta []byte) ([]byte, bool))

	// Stats returns a []registry.PartitionStats.
	Stats() any
}

// A Client keeps what it is told of a Space.
type Client interface {
	// Changed tells of a visible claim, or by a tombstone that one is gone or hidden. Calls about one
	// name never overlap and come in order. They come under the lock of the name's partition: Changed
	// must not call the Space.
	Changed(r *replica.Record)
	// Retire tells that all of this node's claims were withdrawn and that Edit fails from now on.
	Retire()
	// Close tells that nothing more will be told.
	Close()
}

// Open is set by package registry. It returns the client of a *registry.Registry's second space,
// which it starts with start if there is none yet and tells of all that is known already; and
// waits, as the registry's Open does, until this node has what the others have.
var Open func(ctx context.Context, registry any, start func(Space) Client) (Client, error)
