package clustertest

import (
	"cmp"
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/snowfence/snowfence/registry"
)

// A spec configures a node. It is passed to another process as JSON.
type spec struct {
	Name       string
	Host       string // the address to listen on; "": loopback
	Port       int
	Seeds      []string
	Resolver   string // "": the default
	Partitions int
	MaxMeta    int
	QueueSize  int
	Keys       [][]byte
	Pace       pace

	// Namespace is the network namespace of the process; "": that of the test.
	Namespace string
}

// A pace holds the times of membership.
type pace struct {
	Gossip, Probe, Timeout time.Duration
	Suspicion              int
}

// brisk returns a pace that declares a dead node dead within four or five seconds, and tolerates a
// machine that is busy for two. With a factor of 2 a suspicion takes a fixed time, whatever other
// nodes confirm.
func brisk() pace {
	if testing.Short() {
		return pace{20 * time.Millisecond, 700 * time.Millisecond, 500 * time.Millisecond, 2}
	}
	return pace{20 * time.Millisecond, 1200 * time.Millisecond, 800 * time.Millisecond, 2}
}

// patient returns the pace of tests in which no node may be declared dead. A suspect has four
// seconds to refute (twice that without -short), since an overloaded machine may delay a healthy
// process for two.
func patient() pace {
	p := brisk()
	p.Suspicion *= 3
	return p
}

// suspicion returns the time that a suspect has to refute, in a cluster of at most ten nodes.
func (p pace) suspicion() time.Duration { return time.Duration(p.Suspicion) * p.Probe }

func (s *spec) config(log *slog.Logger, tr memberlist.Transport) registry.Config {
	p := s.Pace
	c := registry.Config{
		NodeName: s.Name, BindAddr: s.Host, BindPort: s.Port, Seeds: s.Seeds,
		Cluster:    registry.DefaultCluster,
		Partitions: cmp.Or(s.Partitions, 4), MaxMeta: s.MaxMeta, QueueSize: s.QueueSize, Keys: s.Keys,
		SyncTimeout:    patience,
		GossipInterval: p.Gossip, ProbeInterval: p.Probe, ProbeTimeout: p.Timeout,
		SuspicionMult: p.Suspicion,
		Logger:        log, Transport: tr,
	}
	if s.Resolver == registry.KeepOldest.Name() {
		c.Resolver = registry.KeepOldest
	}
	return c
}
