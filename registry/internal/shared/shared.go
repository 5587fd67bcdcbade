// Package shared holds what packages registry and group have between them: a registry's second
// space of names, and its client, which is package group.
//
// On a name of the first space one claim wins. On one of the second the claims of all nodes stand
// side by side, one for each node. The two spaces have nothing in common but the protocol: each has
// partitions of its own, with their own queues, and the same bytes may be a name in both. A
// registry's partitions are numbered on the wire from 0 up; those of the second space follow those
// of the first.
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

// A Space is the second space of one registry. Its methods may be called at the same time.
type Space interface {
	// Node returns the name of the registry's node.
	Node() string
	// Log returns the registry's logger.
	Log() *slog.Logger
	// Now returns a timestamp of the registry's clock, each later than the one before.
	Now() hlc.Timestamp
	// CheckMeta returns the registry's error if this is more metadata than its configuration allows.
	CheckMeta(name string, meta []byte) error

	// Edit replaces the metadata of this node's claim on name by what edit returns for them (nil:
	// there is no claim), once there is room in the queue. It fails as the registry's Register does,
	// or as edit does. edit runs under the lock of the name's partition and may be called several
	// times; it must neither block nor modify its argument, and its result must not be modified
	// afterwards.
	Edit(ctx context.Context, name string, edit func(meta []byte) ([]byte, error)) error
	// Shrink is Edit for metadata that become less: it waits for no room. Empty metadata withdraw the
	// claim, with why as the reason. Shrink does nothing if there is no claim, or edit returns false.
	Shrink(name string, why replica.Why, edit func(meta []byte) ([]byte, bool))
}

// A Client is notified of the changes of a Space.
type Client interface {
	// Changed is called with a visible claim, or with a tombstone for one that is gone or hidden.
	// Calls about one name come in order and never overlap. The lock of the name's partition is held:
	// Changed must not call the Space.
	Changed(r *replica.Record)
	// Retire is called once all claims of this node were withdrawn. Edit fails from then on.
	Retire()
	// Close is called last.
	Close()
}
