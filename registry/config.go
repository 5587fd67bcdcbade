package registry

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
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
)

const (
	longestMeta   = 1<<16 - 1
	longestID     = 128 // of node, cluster and resolver names: they share a packet
	mostPartition = 4096
)

// Config says how a registry is opened. The zero Config is a node on the loopback interface, at a
// port that the kernel chooses, which knows no other.
type Config struct {
	// NodeName tells this node from the others; a second node of the same name is refused. By default it
	// is the host's name with BindPort ("web3:7946") or, where the kernel chooses the port, with eight
	// random hexadecimal digits ("web3-5f0c9a1e").
	NodeName string

	// BindAddr is the IP address to listen on, for TCP and UDP. The default is 127.0.0.1, which
	// other machines can't reach: traffic is neither encrypted nor authenticated unless Keys are set, so
	// being reached should be a decision. "0.0.0.0" listens on all interfaces.
	BindAddr string

	// BindPort is the port to listen on, for TCP and UDP. 0 has the kernel choose one, see
	// [Registry.Addr].
	BindPort int

	// AdvertiseAddr and AdvertisePort are what the others are told, where that differs from
	// what is listened on (behind NAT, in a container).
	AdvertiseAddr string
	AdvertisePort int

	// Seeds are nodes of the cluster to join, host:port. One that answers is enough. Without seeds the
	// node is alone until others join it, or it is told to [Registry.Join]. All nodes may be given
	// the same list: the node's own address in it is not contacted, and as the node may then be
	// the first of its cluster, no answer from the others is no error.
	Seeds []string

	// Cluster is the name of the cluster, "snowfence" by default. A node of another cluster is refused.
	Cluster string

	// Partitions is how many partitions the names are spread over, 1 to 4096, 16 by default. It belongs to the cluster: a
	// node that has another number is refused.
	Partitions int

	// Resolver settles conflicts, [KeepNewest] by default. It belongs to the cluster as well: a node
	// whose Resolver has another name is refused.
	Resolver Resolver

	// Keys encrypt and authenticate all traffic with AES-GCM: 16, 24 or 32 bytes each. The first is used for sending,
	// all for receiving. None: no encryption.
	Keys [][]byte

	// MaxMeta is the most metadata that a claim of this node may carry, in bytes: 4096 by default, at most 65,535.
	MaxMeta int

	// QueueSize is how many changed names of one partition may wait to be sent before [Registry.Register] has to
	// wait; 4096 by default.
	QueueSize int

	// MaxClockSkew is how far apart the wall clocks of the cluster may be, 10 s by default. A clock further ahead is
	// held back and reported, see [ClockAhead].
	MaxClockSkew time.Duration

	// SyncTimeout is how long Open and Join wait, once a node has answered, until this node has what the others
	// have; 5 s by default. After that they return, and the rest comes in the background.
	SyncTimeout time.Duration

	// GossipAbove is the size of cluster up to which a node sends small changes straight to each other node, and above
	// which gossip spreads them; 32 by default, negative: always by gossip. Straight is faster and costs
	// less on the wire, as long as a node can be expected to send that many packets for a change.
	GossipAbove int

	// GossipInterval is the time between two rounds of gossip, ProbeInterval that between two
	// checks of another node, ProbeTimeout how long a node may take to answer, and SuspicionMult how
	// many probe intervals (times the logarithm of the cluster's size) a silent node has
	// until it is given up. 0 stands for 50 ms, 1 s, 500 ms (or half of ProbeInterval, if that is less) and 4.
	GossipInterval time.Duration
	ProbeInterval  time.Duration
	ProbeTimeout   time.Duration
	SuspicionMult  int

	// Logger gets what happens to the cluster (Info), what somebody should look into (Warn) and
	// each change (Debug). nil: nothing is logged; the same is told by [Registry.Watch] and [Registry.Stats].
	Logger *slog.Logger

	// Transport replaces the network, for tests. BindAddr and BindPort are ignored then. The registry shuts it down, even if
	// Open fails.
	Transport memberlist.Transport
}

func (c Config) withDefaults() Config {
	c.BindAddr = cmp.Or(c.BindAddr, "127.0.0.1")
	c.Cluster = cmp.Or(c.Cluster, DefaultCluster)
	c.Partitions = cmp.Or(c.Partitions, DefaultPartitions)
	c.MaxMeta = cmp.Or(c.MaxMeta, DefaultMaxMeta)
	c.QueueSize = cmp.Or(c.QueueSize, DefaultQueueSize)
	c.MaxClockSkew = cmp.Or(c.MaxClockSkew, DefaultMaxClockSkew)
	c.SyncTimeout = cmp.Or(c.SyncTimeout, DefaultSyncTimeout)
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

// validate checks a Config that has its defaults.
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
	case c.BindPort < 0 || c.BindPort > 65535:
		return bad("BindPort", c.BindPort, "0 (the kernel chooses) to 65535")
	case c.AdvertiseAddr != "" && net.ParseIP(c.AdvertiseAddr) == nil:
		return bad("AdvertiseAddr", strconv.Quote(c.AdvertiseAddr), "an IP address")
	case c.AdvertisePort < 0 || c.AdvertisePort > 65535:
		return bad("AdvertisePort", c.AdvertisePort, "0 (the port listened on) to 65535")
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
	case c.GossipInterval < 0:
		return bad("GossipInterval", c.GossipInterval, "0 (the default) or more")
	case c.ProbeInterval < 0:
		return bad("ProbeInterval", c.ProbeInterval, "0 (the default) or more")
	case c.ProbeTimeout < 0:
		return bad("ProbeTimeout", c.ProbeTimeout, "0 (the default) or more")
	case c.ProbeTimeout > cmp.Or(c.ProbeInterval, time.Second):
		return bad("ProbeTimeout", c.ProbeTimeout, fmt.Sprintf("at most ProbeInterval (%v)", cmp.Or(c.ProbeInterval, time.Second)))
	case c.SuspicionMult < 0:
		return bad("SuspicionMult", c.SuspicionMult, "0 (the default) or more")
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
		host, ok := seedHost(seed)
		field := fmt.Sprintf("Seeds[%d]", i)
		switch {
		case !ok:
			return bad(field, strconv.Quote(seed), "host:port")
		case c.onLoopback() && isForeign(host):
			return bad("BindAddr", c.BindAddr, "an address that other machines can reach, since "+field+" is "+seed)
		}
	}
	return nil
}

// seedHost returns the host of a seed, which must have a port as well.
func seedHost(seed string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(seed)
	n, portErr := strconv.Atoi(port)
	return host, err == nil && host != "" && portErr == nil && n >= 1 && n <= 65535
}

// onLoopback tells whether only this machine can reach the node.
func (c Config) onLoopback() bool {
	return c.Transport == nil && c.AdvertiseAddr == "" && net.ParseIP(c.BindAddr).IsLoopback()
}

// isForeign tells whether host is surely another machine than this: an address that is not on loopback.
func isForeign(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && !ip.IsLoopback() && !ip.IsUnspecified()
}

// otherSeeds returns the seeds without the node's own address, and whether that was among them.
func otherSeeds(seeds []string, self string) (others []string, listed bool) {
	others = slices.DeleteFunc(slices.Clone(seeds), func(s string) bool { return s == self })
	return others, len(others) < len(seeds)
}
