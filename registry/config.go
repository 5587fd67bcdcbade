package registry

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"

	"github.com/snowfence/snowfence/registry/internal/mesh"
)

// MaxName is the length of the longest name, in bytes.
const MaxName = 1<<16 - 1

// Defaults of [Config].
const (
	DefaultPartitions   = 16
	DefaultCluster      = "snowfence"
	DefaultMaxMeta      = 4096
	DefaultQueueSize    = 4096
	DefaultMaxClockSkew = 10 * time.Second
	DefaultSyncTimeout  = 5 * time.Second
	DefaultGossipAbove  = 32
)

const (
	longestMeta   = 1<<16 - 1
	longestID     = 128 // of node, cluster and resolver names: they share a packet
	mostPartition = 4096
)

// A NameService looks up the addresses of the names among the seeds, by its methods LookupNetIP and
// LookupSRV; a [*net.Resolver] is one.
//
// Several goroutines may call it at the same time. Its methods must return when their context ends.
type NameService = mesh.NameService

// Config configures a registry. The zero Config is a node on the loopback interface, at a port that
// the kernel chooses, which knows no other node.
type Config struct {
	// NodeName identifies this node; a second node of the same name is refused. By default it is the
	// host's name with BindPort ("web3:7946") or, if the kernel chooses the port, with eight random
	// hexadecimal digits ("web3-5f0c9a1e").
	NodeName string

	// BindAddr is the IP address to listen on, for TCP and UDP. The default is 127.0.0.1, which
	// other machines can't reach: traffic is neither encrypted nor authenticated unless Keys are
	// set, so being reached should be a decision. "0.0.0.0" listens on all IPv4 addresses of the
	// machine, "::" on all addresses, and then AdvertiseAddr is required.
	BindAddr string

	// BindPort is the port to listen on, for TCP and UDP. 0: the kernel chooses one, see
	// [Registry.Addr].
	BindPort int

	// AdvertiseAddr is the IP address at which others reach this node, if that differs from BindAddr
	// (behind NAT, in a container). It can't be 0.0.0.0, :: or a multicast address.
	//
	// By default it is BindAddr. If that is 0.0.0.0, it is a private IPv4 address of an interface that
	// is up: the one from which the machine sends to remote addresses, or else the first. If there is
	// no private one, it is a public one, by the same rule. Open logs it, and fails with a
	// [*ConfigError] if there is none.
	AdvertiseAddr string

	// AdvertisePort is the port at which others reach this node; the default is the one that is
	// listened on. It needs AdvertiseAddr.
	AdvertisePort int

	// Seeds are the addresses of nodes of the cluster: host:port, where a host name stands for all its
	// addresses, or dnssrv+name, which stands for the targets and ports of the name's SRV records.
	// One that answers is enough. All nodes may have the same list, which may include the node's own
	// address, however it is spelt. Without seeds the node is alone until others join it, or until
	// [Registry.Join].
	//
	// Seeds stay names: every RejoinInterval they are looked up again, and addresses at which there is
	// no member are tried, for as long as the node runs. So nodes that start at the same moment find
	// each other, and a node that was cut off while all others were replaced finds the new ones.
	Seeds []string

	// StartAlone lets Open succeed although no node answers at the Seeds, or their names have no
	// record: the node starts a cluster of its own, and joins the others when they are found. Set it
	// if all nodes start at once and find each other by name. Until they have met, a name can have a
	// holder in each part.
	//
	// Without it Open fails with a [*JoinError], unless this node itself is among those that answer:
	// then it may be the first. Whatever StartAlone is, an answer that refuses this node is an error:
	// see [Open].
	StartAlone bool

	// NameService looks up the names among the Seeds; nil: [net.DefaultResolver].
	NameService NameService

	// Cluster is the name of the cluster. A node of another cluster is refused, so two applications
	// whose nodes may meet, because an address passes from one to the other, need different names.
	// It is required if other machines can reach this node (BindAddr is not a loopback address, or
	// AdvertiseAddr is set) and no Keys are set. Otherwise the default is "snowfence".
	Cluster string

	// Partitions is the number of partitions of the names, 1 to 4096, 16 by default. It belongs to the
	// cluster: a node with another number is refused.
	Partitions int

	// Resolver resolves conflicts, [KeepNewest] by default. It belongs to the cluster as well: a node
	// whose Resolver has another name is refused.
	Resolver Resolver

	// Keys encrypt and authenticate all traffic with AES-GCM: 16, 24 or 32 bytes each. The first is
	// used for sending, all for receiving. None: no encryption.
	Keys [][]byte

	// MaxMeta is the most metadata that a claim of this node may carry, in bytes: 4096 by default, at
	// most 65,535.
	MaxMeta int

	// QueueSize bounds the changed names of one partition that wait to be sent; 4096 by default.
	// When it is full, [Registry.Register] waits.
	QueueSize int

	// MaxClockSkew bounds how far the wall clocks of the cluster are apart, 10 s by default. A clock
	// further ahead is held back and reported, see [ClockAhead].
	MaxClockSkew time.Duration

	// SyncTimeout bounds how long Open and Join wait, once a node has answered, until this node has
	// the claims that the others have; 5 s by default. After that they return, and the rest comes in
	// the background. It also bounds how long [Registry.Register] waits for that, see [ErrSyncing].
	SyncTimeout time.Duration

	// GossipAbove is the size of cluster above which gossip spreads small changes; up to it, a node
	// sends them straight to each other node. 32 by default, negative: always by gossip. Straight is
	// faster and takes fewer packets in all, but each node sends one to every other for a change.
	GossipAbove int

	// Preset sets the fields that follow, by the network between the nodes: [LAN] by default, [WAN]
	// or [Loopback]. All nodes of a cluster should have the same.
	Preset Preset

	// GossipInterval is the time between two rounds of gossip, in each of which a node sends
	// packets to three others. News reaches all of n nodes after about log4(n) rounds. Shorter is
	// faster and takes more packets while there is news.
	GossipInterval time.Duration

	// ProbeInterval is the time between two probes, each of the next node in a random order. A node
	// that died is first probed after 1.6 intervals on average. Shorter detects deaths sooner, and
	// costs each node about four packets per interval.
	ProbeInterval time.Duration

	// ProbeTimeout bounds the answer to a probe. A node that takes longer is probed by three others,
	// too, and suspected if it has not answered them by the end of ProbeInterval either. At most
	// ProbeInterval; by default half of that, if this is less than the Preset's. If it is less than
	// the network's slowest round trips, live nodes are suspected.
	ProbeTimeout time.Duration

	// SuspicionMult sets the time that a suspected node has to refute before it is declared dead:
	// SuspicionMult * max(1, log10(n)) * ProbeInterval in a cluster of n. If n is at least
	// SuspicionMult it has up to six times that, until SuspicionMult-2 further nodes suspect it.
	// Lower frees the names of dead nodes sooner; if it is too low, a pause or lost packets hide the
	// names of a live node for a moment.
	SuspicionMult int

	// RejoinInterval is roughly the time between two searches for nodes that are no members: seeds,
	// and nodes that died up to a day ago. A search looks up to 16 names up and tries up to 16
	// addresses, those lost last first; a dead one costs a packet or two. So with k addresses of dead
	// nodes, two parts of a cluster that can reach each other again meet within 1+k/16 intervals.
	RejoinInterval time.Duration

	// Logger gets events of the cluster (Info), those that an operator should look into (Warn) and
	// each change (Debug). nil: nothing is logged; [Registry.Watch] and [Registry.Stats] report the
	// same.
	Logger *slog.Logger

	// Transport replaces the network, for tests; BindAddr and BindPort are ignored then. The registry
	// shuts it down, even if Open fails.
	Transport memberlist.Transport
}

func (c Config) withDefaults() Config {
	c = c.withPreset()
	c.BindAddr = cmp.Or(c.BindAddr, "127.0.0.1")
	if !c.openToStrangers() {
		c.Cluster = cmp.Or(c.Cluster, DefaultCluster)
	}
	c.Partitions = cmp.Or(c.Partitions, DefaultPartitions)
	c.MaxMeta = cmp.Or(c.MaxMeta, DefaultMaxMeta)
	c.QueueSize = cmp.Or(c.QueueSize, DefaultQueueSize)
	c.MaxClockSkew = cmp.Or(c.MaxClockSkew, DefaultMaxClockSkew)
	c.SyncTimeout = cmp.Or(c.SyncTimeout, DefaultSyncTimeout)
	c.GossipAbove = cmp.Or(c.GossipAbove, DefaultGossipAbove)
	if c.NodeName == "" {
		c.NodeName = defaultNodeName(c.BindPort)
	}
	if c.Resolver == nil {
		c.Resolver = KeepNewest
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func defaultNodeName(port int) string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	if port != 0 {
		return net.JoinHostPort(host, strconv.Itoa(port))
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return host + "-" + hex.EncodeToString(b[:])
}

// validate returns a ConfigError for the first wrong field of a Config that has its defaults.
func (c Config) validate() error {
	bad := func(field string, value any, want string) error { return &ConfigError{field, value, want} }
	identifier := fmt.Sprintf("1 to %d bytes", longestID)
	switch {
	case len(c.NodeName) > longestID || !utf8.ValidString(c.NodeName):
		return bad("NodeName", quote(c.NodeName), identifier+" of UTF-8")
	case len(c.Cluster) > longestID:
		return bad("Cluster", quote(c.Cluster), identifier)
	case c.Transport == nil && net.ParseIP(c.BindAddr) == nil:
		return bad("BindAddr", strconv.Quote(c.BindAddr), "an IP address")
	case c.Transport == nil && net.ParseIP(c.BindAddr).IsMulticast():
		return bad("BindAddr", c.BindAddr, "an address of this machine, not a multicast one")
	case c.BindPort < 0 || c.BindPort > 65535:
		return bad("BindPort", c.BindPort, "0 (the kernel chooses) to 65535")
	case c.AdvertiseAddr != "" && net.ParseIP(c.AdvertiseAddr) == nil:
		return bad("AdvertiseAddr", strconv.Quote(c.AdvertiseAddr), "an IP address")
	case c.AdvertiseAddr != "" && !isReachable(net.ParseIP(c.AdvertiseAddr)):
		return bad("AdvertiseAddr", c.AdvertiseAddr, "an address at which others reach this node")
	case c.AdvertiseAddr == "" && c.Transport == nil && net.ParseIP(c.BindAddr).Equal(net.IPv6zero):
		return bad("AdvertiseAddr", `""`,
			"an address at which others reach this node, since BindAddr is "+c.BindAddr)
	case c.AdvertisePort < 0 || c.AdvertisePort > 65535:
		return bad("AdvertisePort", c.AdvertisePort, "0 (the port listened on) to 65535")
	case c.AdvertisePort != 0 && c.AdvertiseAddr == "":
		return bad("AdvertisePort", c.AdvertisePort, "AdvertiseAddr as well")
	case c.Cluster == "":
		return bad("Cluster", `""`,
			fmt.Sprintf("a name of its own, since other machines can reach %s and no Keys are set",
				cmp.Or(c.AdvertiseAddr, c.BindAddr)))
	case c.Partitions < 1 || c.Partitions > mostPartition:
		return bad("Partitions", c.Partitions, fmt.Sprintf("1 to %d", mostPartition))
	case c.MaxMeta < 0 || c.MaxMeta > longestMeta:
		return bad("MaxMeta", c.MaxMeta, fmt.Sprintf("0 (the default) to %d", longestMeta))
	case c.QueueSize < 0:
		return bad("QueueSize", c.QueueSize, "0 (the default) or more")
	case c.MaxClockSkew < 0:
		return bad("MaxClockSkew", c.MaxClockSkew, "0 (the default) or more")
	case c.SyncTimeout < 0:
		return bad("SyncTimeout", c.SyncTimeout, "0 (the default) or more")
	case !c.Preset.known():
		return bad("Preset", int(c.Preset), "LAN, WAN or Loopback")
	case c.GossipInterval < 0:
		return bad("GossipInterval", c.GossipInterval, "0 (the default) or more")
	case c.ProbeInterval < 0:
		return bad("ProbeInterval", c.ProbeInterval, "0 (the default) or more")
	case c.ProbeTimeout < 0:
		return bad("ProbeTimeout", c.ProbeTimeout, "0 (the default) or more")
	case c.ProbeTimeout > c.ProbeInterval:
		return bad("ProbeTimeout", c.ProbeTimeout,
			fmt.Sprintf("at most ProbeInterval (%v)", c.ProbeInterval))
	case c.SuspicionMult < 0:
		return bad("SuspicionMult", c.SuspicionMult, "0 (the default) or more")
	case c.RejoinInterval < 0:
		return bad("RejoinInterval", c.RejoinInterval, "0 (the default) or more")
	}
	if f, ok := c.Resolver.(*resolverFunc); ok && f.compare == nil {
		return bad("Resolver", strconv.Quote(f.name), "a function to compare with, not nil")
	}
	if name := c.Resolver.Name(); name == "" || len(name) > longestID {
		return bad("Resolver", quote(name), "a name of "+identifier)
	}
	for i, key := range c.Keys {
		if err := checkKey(key); err != nil {
			return bad(fmt.Sprintf("Keys[%d]", i), fmt.Sprintf("%d bytes", len(key)), "16, 24 or 32 bytes")
		}
	}
	for i, seed := range c.Seeds {
		host, err := mesh.SeedHost(seed)
		field := fmt.Sprintf("Seeds[%d]", i)
		switch {
		case err != nil:
			return bad(field, strconv.Quote(seed), fmt.Sprintf("%s: %v", mesh.SeedForms, err))
		case c.onLoopback() && isForeign(host):
			return bad("BindAddr", c.BindAddr, "an address that other machines can reach, since "+field+
				" is "+seed)
		}
	}
	return nil
}

// onLoopback reports whether only this machine can reach the node.
func (c Config) onLoopback() bool {
	return c.Transport == nil && c.AdvertiseAddr == "" && net.ParseIP(c.BindAddr).IsLoopback()
}

// openToStrangers reports whether other machines can reach the node, and nothing keeps out those
// that know the name of its cluster. It is false with a Transport, which is for tests.
func (c Config) openToStrangers() bool {
	return c.Transport == nil && len(c.Keys) == 0 && !c.onLoopback()
}

// isReachable reports whether ip may be the address of one node.
func isReachable(ip net.IP) bool {
	return !ip.IsUnspecified() && !ip.IsMulticast() && !ip.Equal(net.IPv4bcast)
}

// isForeign reports whether host is an IP address that is not on loopback.
func isForeign(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && !ip.IsLoopback() && !ip.IsUnspecified()
}
