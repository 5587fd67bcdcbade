package mesh

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"

	"github.com/snowfence/snowfence/registry/internal/wire"
)

// Defaults of a [Config].
const (
	DefaultGossipInterval = 50 * time.Millisecond
	DefaultProbeInterval  = time.Second
	DefaultProbeTimeout   = 500 * time.Millisecond
	DefaultSuspicionMult  = 4
	DefaultPacketSize     = 1400
	DefaultQueueLimit     = 512
	DefaultGossipAbove    = 32
	DefaultPeerQueueBytes = 4 << 20
	DefaultRejoinInterval = 5 * time.Second
)

// Config settles a mesh. Node, Identity, Logger and Handler are required.
type Config struct {
	Node string // the node's name, unique in the cluster; at most 128 bytes

	BindAddr string // an IP address; "": all of IPv4
	BindPort int    // 0: any that is free
	// an IP address that others reach the node at; "": BindAddr, or a private address of the machine
	AdvertiseAddr string
	AdvertisePort int // 0: the port that is bound

	Identity    Identity
	Incarnation uint64 // of this run of the node: higher than that of any earlier run

	// AES keys of 16, 24 or 32 bytes; the first encrypts, all decrypt; none: no encryption
	Keys [][]byte

	// Seeds are looked up, and the nodes that are there are joined, as long as the mesh is open. Open
	// does not wait for that: see [Mesh.Join].
	Seeds []string

	Names  NameService // looks seeds up; nil: net.DefaultResolver
	Logger *slog.Logger
	// nil: UDP and TCP on BindAddr; the mesh shuts it down, if Open succeeds or not
	Transport memberlist.Transport

	// nodes up to which updates go straight to each; 0: 32, negative: always by gossip
	GossipAbove    int
	GossipInterval time.Duration // between rounds of gossip; 0: 50 ms
	ProbeInterval  time.Duration // between probes of members; 0: 1 s
	ProbeTimeout   time.Duration // for an answer to a probe; 0: 500 ms, or half of ProbeInterval
	// how many probe intervals a suspect has to answer, times the logarithm of the cluster's size; 0:
	// 4
	SuspicionMult  int
	RejoinInterval time.Duration // between searches for nodes that are no members; 0: 5 s; below: none

	PacketSize     int // the largest packet, in bytes; 0: 1400
	QueueLimit     int // the most broadcasts that wait; 0: 512
	PeerQueueBytes int // the most bytes that wait for one peer; 0: 4 MiB

	// how long memberlist still speaks to the dead; 0: its default; set by tests
	forgetDead time.Duration

	Wall    func() int64 // the wall clock for [wire.Frame]'s Sent; nil: the system's
	Handler Handler
}

// A Handler receives what comes. Its methods are called from memberlist's goroutines, some while
// memberlist holds its locks: they must not block. They may call the methods of Mesh whose doc does
// not say that they block. None is called once [Mesh.Close] has returned.
type Handler interface {
	// Frame gets a valid frame of a member, and the bytes it took. Frames of one member may overtake
	// each other.
	Frame(f *wire.Frame, bytes int)

	// Rejected reports bytes that are no valid frame, or that no key decrypts. From is the
	// sender's address or name if it is known, and is not to be trusted.
	Rejected(from string, err error)

	// NodeUp reports that another node is a member, and again if its incarnation changed.
	// For one node, NodeUp and NodeDown come in order.
	NodeUp(node string, incarnation uint64, addr string)

	// NodeDown reports that a member is gone: it left, or it was declared dead.
	NodeDown(node string, left bool)

	// Refused reports that a node was kept out: a [*MismatchError] or a [*DuplicateNameError]. If the
	// name is the own one, another live member has it too. Repeats are left out for a while.
	Refused(node, addr string, err error)
}

// A ConfigError says which field of a [Config] can't be.
type ConfigError struct {
	Field  string
	Value  any
	Reason string
}

// Error names the field, its value and the reason.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("mesh: %s %v: %s", e.Field, e.Value, e.Reason)
}

const maxNode = 128 // leaves room in a packet for a message that names two nodes

// withDefaults returns the config with its zero fields filled in, or why it can't be.
func (c Config) withDefaults() (Config, error) {
	fill(&c.GossipInterval, DefaultGossipInterval)
	fill(&c.ProbeInterval, DefaultProbeInterval)
	fill(&c.ProbeTimeout, min(DefaultProbeTimeout, c.ProbeInterval/2))
	fill(&c.SuspicionMult, DefaultSuspicionMult)
	fill(&c.RejoinInterval, DefaultRejoinInterval)
	fill(&c.PacketSize, DefaultPacketSize)
	fill(&c.QueueLimit, DefaultQueueLimit)
	fill(&c.GossipAbove, DefaultGossipAbove)
	fill(&c.PeerQueueBytes, DefaultPeerQueueBytes)
	fill(&c.BindAddr, "0.0.0.0")
	if c.Names == nil {
		c.Names = net.DefaultResolver
	}
	if c.Wall == nil {
		c.Wall = func() int64 { return time.Now().UnixNano() }
	}

	switch {
	case c.Node == "":
		return c, &ConfigError{"Node", `""`, "a node needs a name"}
	case len(c.Node) > maxNode:
		return c, &ConfigError{"Node", fmt.Sprintf("%.16q...", c.Node),
			fmt.Sprintf("%d bytes are more than %d", len(c.Node), maxNode)}
	case !utf8.ValidString(c.Node):
		return c, &ConfigError{"Node", fmt.Sprintf("%q", c.Node), "not valid UTF-8"}
	case c.Logger == nil:
		return c, &ConfigError{"Logger", "nil", "required"}
	case c.Handler == nil:
		return c, &ConfigError{"Handler", "nil", "required"}
	case c.BindPort < 0 || c.BindPort > 65535:
		return c, &ConfigError{"BindPort", c.BindPort, "not within 0 to 65535"}
	case c.AdvertisePort < 0 || c.AdvertisePort > 65535:
		return c, &ConfigError{"AdvertisePort", c.AdvertisePort, "not within 0 to 65535"}
	case c.GossipInterval < 0:
		return c, &ConfigError{"GossipInterval", c.GossipInterval, "negative"}
	case c.ProbeInterval < 0:
		return c, &ConfigError{"ProbeInterval", c.ProbeInterval, "negative"}
	case c.ProbeTimeout < 0 || c.ProbeTimeout > c.ProbeInterval:
		return c, &ConfigError{"ProbeTimeout", c.ProbeTimeout,
			fmt.Sprintf("not within 0 and ProbeInterval, %v", c.ProbeInterval)}
	case c.SuspicionMult < 0:
		return c, &ConfigError{"SuspicionMult", c.SuspicionMult, "negative"}
	case c.PacketSize < 512 || c.PacketSize > 65000:
		return c, &ConfigError{"PacketSize", c.PacketSize, "not within 512 to 65000 bytes"}
	case c.QueueLimit < 0:
		return c, &ConfigError{"QueueLimit", c.QueueLimit, "negative"}
	case c.PeerQueueBytes < 0:
		return c, &ConfigError{"PeerQueueBytes", c.PeerQueueBytes, "negative"}
	}
	ip := net.ParseIP(c.BindAddr)
	switch {
	case ip == nil:
		return c, &ConfigError{"BindAddr", fmt.Sprintf("%q", c.BindAddr), "not an IP address"}
	case c.AdvertiseAddr != "" && net.ParseIP(c.AdvertiseAddr) == nil:
		return c, &ConfigError{"AdvertiseAddr", fmt.Sprintf("%q", c.AdvertiseAddr), "not an IP address"}
	case c.AdvertiseAddr == "" && ip.IsUnspecified() && ip.To4() == nil:
		return c, &ConfigError{"AdvertiseAddr", `""`, "required where BindAddr is ::"}
	case c.AdvertiseAddr == "" && c.AdvertisePort != 0:
		return c, &ConfigError{"AdvertisePort", c.AdvertisePort, "needs AdvertiseAddr"}
	}
	for i, k := range c.Keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return c, &ConfigError{fmt.Sprintf("Keys[%d]", i), fmt.Sprintf("of %d bytes", len(k)),
				"a key has 16, 24 or 32 bytes"}
		}
	}
	if n := len(encodeMeta(c.Identity, c.Incarnation)); n > memberlist.MetaMaxSize {
		return c, &ConfigError{"Identity", fmt.Sprintf("%+v", c.Identity),
			fmt.Sprintf("takes %d bytes, %d are the most", n, memberlist.MetaMaxSize)}
	}
	if c.Identity.Partitions < 1 || c.Identity.Partitions > wire.MaxPartitions {
		return c, &ConfigError{"Identity.Partitions", c.Identity.Partitions,
			fmt.Sprintf("not within 1 to %d", wire.MaxPartitions)}
	}
	return c, nil
}

func (c Config) parseSeeds() (seeds []seed, err error) {
	for i, text := range c.Seeds {
		s, err := parseSeed(text)
		if err != nil {
			return nil, &ConfigError{
				fmt.Sprintf("Seeds[%d]", i), strconv.Quote(text), fmt.Sprintf("want %s: %v", SeedForms, err),
			}
		}
		seeds = append(seeds, s)
	}
	return seeds, nil
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
