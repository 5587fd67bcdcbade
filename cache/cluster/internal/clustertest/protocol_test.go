package clustertest

import (
	"time"

	"github.com/snowfence/snowfence/cache/cluster"
)

// A spec configures a node. It travels to the node's process as JSON.
type spec struct {
	Name     string
	Port     int // of the registry, TCP and UDP
	HTTPPort int
	Seeds    []string

	Ownership       string // as cluster.ParseOwnership reads it
	Slots           int
	TTL             time.Duration
	CopyTTL         time.Duration
	PeerTimeout     time.Duration
	IdleRelease     time.Duration
	MaxLocalLoads   int
	MaxPeerRequests int
	Quarantine      time.Duration
	Codec           string // another name for the codec
	SharedKeys      [][]byte

	Links linkState // from the beginning
}

// A value is a value of the origin. No two loads get the same version.
type value struct {
	Key     string
	Version uint64
	Issued  int64  // when, in nanoseconds of the wall clock, which all processes share
	Loaded  int64  // when Load or LoadMany returned it, which the TTL counts from
	By      string // the node that loaded it
}

// A command is one instruction to a node.
type command struct {
	ID       uint64
	Op       string
	Keys     []string      `json:",omitempty"`
	Callers  int           `json:",omitempty"` // caller i fetches Keys[i % len(Keys)]
	Deadline time.Duration `json:",omitempty"`
	Target   uint64        `json:",omitempty"` // the fetch to cancel
	Links    *linkState    `json:",omitempty"`
	Mode     string        `json:",omitempty"` // of the saboteur
	Answer   *answer       `json:",omitempty"` // not a command, but the origin's answer
}

// A linkState says which links of a node are cut, by the addresses of the other ends.
type linkState struct {
	RegistryOut, RegistryIn []string
	HTTPOut, HTTPIn         []string
	// HTTP connections are refused and reset, instead of being held back
	Refuse        bool
	RegistryDelay time.Duration // of all that the registry sends
}

// An answer is the origin's answer to a load.
type answer struct {
	Load    uint64
	Version uint64 `json:",omitempty"`
	Issued  int64  `json:",omitempty"`
	Error   string `json:",omitempty"`
	Panic   string `json:",omitempty"`
	Goexit  bool   `json:",omitempty"`
}

// A message is one line of a node's output: a reply to a command, the beginning of a load, or the
// end of a load's context.
type message struct {
	Reply *reply   `json:",omitempty"`
	Load  *loading `json:",omitempty"`
	Left  uint64   `json:",omitempty"`
}

type loading struct {
	ID  uint64
	Key string
}

// A reply has the outcome of a command. Only what was asked for is set.
type reply struct {
	ID          uint64
	Error       string    `json:",omitempty"`
	Duplicate   bool      `json:",omitempty"` // Error is that the node's name is taken
	Unconfirmed []string  `json:",omitempty"` // the nodes that have not confirmed a delete
	Results     []*result `json:",omitempty"`
	Peers       []string  `json:",omitempty"` // the nodes that were members before and after a delete
	Begin, End  int64     `json:",omitempty"` // of a delete
	State       *state    `json:",omitempty"`
	Left        string    `json:",omitempty"` // what is left after close; "" if nothing is
}

// A result is the outcome of one caller.
type result struct {
	Node        string `json:",omitempty"` // set by the test
	Incarnation int    `json:",omitempty"` // set by the test
	Key         string
	Version     uint64 `json:",omitempty"`
	Issued      int64  `json:",omitempty"`
	Loaded      int64  `json:",omitempty"`
	Wrong       string `json:",omitempty"` // the key that the value says it is for, if another
	Begin, End  int64
	Error       string `json:",omitempty"`
	Class       string `json:",omitempty"` // of the error, see classOf
	Where       string `json:",omitempty"` // the node that the error names
	Found       bool   `json:",omitempty"` // by get
}

func (r *result) took() time.Duration { return time.Duration(r.End - r.Begin) }

// A state is a node's view of itself and the cluster.
type state struct {
	Stats      cluster.Stats
	Members    []string          // of the registry
	Names      map[string]string // of the registry, with their holders
	Goroutines int
	Files      int // open file descriptors; -1: not known
}
