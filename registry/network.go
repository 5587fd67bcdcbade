package registry

import (
	"context"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A network is what the registry needs of the cluster's membership and its messages; see
// package mesh for the real one. Nothing but Join, Leave and SendAll waits for others.
type network interface {
	Addr() string
	Join(ctx context.Context, seeds ...string) (answered int, err error)
	Members() []Member
	Leave(ctx context.Context) error
	Close() error

	// Soon calls f, which must not wait, in a moment: what f gives to Broadcast and Probe shares
	// packets with what others give them in the same moment.
	Soon(f func())
	// Broadcast sends an update of this node to all others in packets, straight or by gossip. It
	// reports whether there was room for it.
	Broadcast(partition int, u *replica.Update) bool
	// Relay passes on an update of another node, where gossip carries updates.
	Relay(partition int, u *replica.Update)
	// Backlog returns the number of updates that gossip carries now.
	Backlog() int
	// SendAll sends an update straight to each node, reliably. It waits for room until ctx ends, and
	// then leaves out those nodes whose queues are still full.
	SendAll(ctx context.Context, partition int, u *replica.Update) error
	// Send queues a message to one node, to be sent reliably, and reports whether there was room.
	Send(to string, partition int, m replica.Message) bool
	// Probe sends a message to one node in a packet that may be lost, and reports whether it fits.
	Probe(to string, partition int, m replica.Message) bool

	InstallKey(key []byte) error
	UseKey(key []byte) error
	RemoveKey(key []byte) error
	Keys() [][]byte

	Stats() NetworkStats
}
