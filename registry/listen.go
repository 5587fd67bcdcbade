package registry

import (
	"context"
	"fmt"
	"strings"

	"github.com/snowfence/snowfence/registry/internal/mesh"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// protocol is the version of what nodes say to each other. Nodes of different versions don't
// form a cluster.
const protocol = 2

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
	return lan{m}, nil
}

// lan is a mesh in the registry's terms.
type lan struct{ *mesh.Mesh }

func (l lan) Members() []Member {
	var members []Member
	for _, m := range l.Mesh.Members() {
		members = append(members, Member{Name: m.Name, Addr: m.Addr, Self: m.Addr == l.Addr()})
	}
	return members
}

func (l lan) Backlog() int { return mesh.DefaultQueueLimit - l.BroadcastRoom() }

func (l lan) SendAll(ctx context.Context, partition int, u *replica.Update) error {
	if missed := l.Mesh.SendAll(ctx, partition, u); len(missed) > 0 {
		return fmt.Errorf("registry: no room in the queues to %s", strings.Join(missed, ", "))
	}
	return nil
}

func (l lan) Stats() NetworkStats {
	s := l.Mesh.Stats()
	return NetworkStats{
		Gossip: PathStats(s.Gossip), Reliable: PathStats(s.Reliable), Packets: PathStats(s.Probe),
		Rejected: s.Rejected, Refused: s.Refused,
		Strangers: s.Received.Own + s.Received.Unknown + s.Received.Stale,
		Unsent: s.Dropped.TooLarge + s.Dropped.NoMember + s.Dropped.QueueFull +
			s.Dropped.PeerGone + s.Dropped.Invalid,
		BroadcastsFull: s.Dropped.BroadcastFull, SendsFailed: s.Dropped.SendFailed,
		BroadcastDepth: s.BroadcastDepth, BroadcastHigh: s.BroadcastHigh,
		PeerQueueItems: s.PeerQueueItems, PeerQueueBytes: s.PeerQueueBytes,
		PeerQueueHigh: s.PeerQueueHigh,
		HealthScore:   s.HealthScore, Connections: s.Connections,
		Lost: s.RejoinCandidates, RejoinAttempts: s.RejoinAttempts, Rejoined: s.RejoinAttemptsOK,
	}
}
