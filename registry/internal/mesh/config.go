package mesh

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/snowfence/snowfence/registry/internal/wire"
)

// Defaults of a [Config].
const (
	DefaultPacketSize     = 1400
	DefaultQueueLimit     = 512
	DefaultPeerQueueBytes = 4 << 20
)

// Config describes a mesh. Fields that name no default are required. Package registry checks the
// values: [Open] does not.
type Config struct {
	Node string // the node's name, unique in the cluster; at most 128 bytes of UTF-8

	BindAddr string // an IP address
	BindPort int    // 0: any that is free
	// AdvertiseAddr is the IP address at which others reach the node; "": BindAddr.
	AdvertiseAddr string
	AdvertisePort int // 0: the port that is bound

	Identity    Identity
	Incarnation uint64 // of this run of the node: higher than that of any earlier run

	// Keys are AES keys of 16, 24 or 32 bytes. The first encrypts, all decrypt. None: no encryption.
	Keys [][]byte

	// Seeds are looked up, and the nodes there are joined, for as long as the mesh is open. None: no
	// node is looked for but lost ones. Open does not wait for them: see [Mesh.Join].
	Seeds []string

	Names  NameService // looks seeds up; nil: net.DefaultResolver
	Logger *slog.Logger
	// Transport replaces UDP and TCP on BindAddr. The mesh shuts it down, whether Open succeeds or
	// not.
	Transport memberlist.Transport

	// GossipAbove is the number of nodes up to which updates go straight to each; negative: always by
	// gossip.
	GossipAbove    int
	GossipInterval time.Duration // between rounds of gossip
	ProbeInterval  time.Duration // between probes of members
	ProbeTimeout   time.Duration // for an answer to a probe; at most ProbeInterval
	// SuspicionMult times ProbeInterval, times the logarithm of the cluster's size, is the time that
	// a suspect has to answer.
	SuspicionMult  int
	RejoinInterval time.Duration // between searches for nodes that are no members; negative: none

	PacketSize     int // the largest packet, in bytes; 0: 1400
	QueueLimit     int // the most broadcasts that wait; 0: 512
	PeerQueueBytes int // the most bytes that wait for one peer; 0: 4 MiB

	// forgetDead is the time for which memberlist still sends to the dead; 0: its default. Tests set
	// it.
	forgetDead time.Duration

	Wall    func() int64 // the wall clock for [wire.Frame]'s Sent; nil: the system's
	Handler Handler
}

// A Handler gets frames and the changes of membership. Its methods are called from memberlist's
// goroutines, some while memberlist holds its locks: they must not block. They may call the methods
// of Mesh that do not block. None is called once [Mesh.Close] has returned.
type Handler interface {
	// Frame gets a valid frame of a member, and its size. Frames of one member may overtake each
	// other.
	Frame(f *wire.Frame, bytes int)

	// Rejected reports bytes that are no valid frame, or that no key decrypts. from is the sender's
	// address or name if it is known, and must not be trusted.
	Rejected(from string, err error)

	// NodeUp reports that another node is a member, and again if its incarnation changed.
	// For one node, NodeUp and NodeDown come in order.
	NodeUp(node string, incarnation uint64, addr string)

	// NodeDown reports that a member is gone: it left, or it was declared dead.
	NodeDown(node string, left bool)

	// Refused reports that a node was kept out, by a [*MismatchError] or a [*DuplicateNameError]. If
	// node is this node's own name, another live member has it, too. Repeats are suppressed for
	// eventlog.Every.
	Refused(node, addr string, err error)
}

const maxNode = 128 // leaves room in a packet for a message that names two nodes

// withDefaults returns the config with its zero fields filled in.
func (c Config) withDefaults() Config {
	fill(&c.PacketSize, DefaultPacketSize)
	fill(&c.QueueLimit, DefaultQueueLimit)
	fill(&c.PeerQueueBytes, DefaultPeerQueueBytes)
	if c.Names == nil {
		c.Names = net.DefaultResolver
	}
	if c.Wall == nil {
		c.Wall = func() int64 { return time.Now().UnixNano() }
	}
	return c
}

// parseSeeds returns the seeds of the config.
func (c Config) parseSeeds() (seeds []seed, err error) {
	for i, text := range c.Seeds {
		s, err := parseSeed(text)
		if err != nil {
			return nil, fmt.Errorf("seed %d, %q: want %s: %w", i, text, SeedForms, err)
		}
		seeds = append(seeds, s)
	}
	return seeds, nil
}

// fill sets a field to a value if it is zero.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
