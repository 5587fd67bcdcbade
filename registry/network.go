package registry

import (
	"context"
	"fmt"

	"github.com/snowfence/snowfence/registry/internal/mesh"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// protocol is the version of the messages between nodes. Nodes of different versions form no
// cluster.
const protocol = 2

// A network is what the registry needs of membership and messages: a [*mesh.Mesh], whose methods
// say more, or one in memory for tests. Nothing but Join, Leave and SendAll waits for others.
type network interface {
	Addr() string
	Join(ctx context.Context, seeds ...string) (answered int, err error)
	Members() []mesh.Member
	Leave(ctx context.Context) error
	Close() error

	// Soon calls f, which must not wait, in a moment: what f gives to Broadcast and Probe shares
	// packets with what others give them in the same moment.
	Soon(f func())
	// Broadcast sends an update of this node to all others in packets, straight or by gossip. It
	// reports whether there was room for it.
	Broadcast(partition int, u *replica.Update) bool
	// Relay passes on an update of another node, if gossip carries updates.
	Relay(partition int, u *replica.Update)
	// Backlog returns the number of updates that gossip carries now.
	Backlog() int
	// SendAll sends a message straight to each node, reliably. It waits for room until ctx ends, and
	// returns the nodes whose queues are still full then: it has left them out.
	SendAll(ctx context.Context, partition int, m replica.Message) (missed []string)
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

// listen opens the real network: memberlist, over UDP and TCP.
func listen(r *Registry) (network, error) {
	c := &r.cfg
	advertise, err := c.advertised()
	if err != nil {
		return nil, err
	}
	m, err := mesh.Open(mesh.Config{
		Node:     c.NodeName,
		BindAddr: c.BindAddr, BindPort: c.BindPort,
		AdvertiseAddr: advertise, AdvertisePort: c.AdvertisePort,
		Identity: mesh.Identity{Cluster: c.Cluster, Partitions: c.Partitions,
			Resolver: c.Resolver.Name(), Protocol: protocol},
		Incarnation: r.incarnation,
		Keys:        c.Keys,
		Seeds:       c.Seeds,
		Names:       c.NameService,
		Logger:      c.Logger,
		Transport:   c.Transport,

		GossipAbove:    c.GossipAbove,
		GossipInterval: c.GossipInterval,
		ProbeInterval:  c.ProbeInterval,
		ProbeTimeout:   c.ProbeTimeout,
		SuspicionMult:  c.SuspicionMult,
		RejoinInterval: c.RejoinInterval,

		Wall:    r.wall,
		Handler: handler{r},
	})
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return m, nil
}
