package clusterload

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// A node is one member of the cluster under test, in this process or in another. Its methods may be
// called at the same time. Addresses are host:port.
type node interface {
	Addr() string
	// Register claims a name. The claim's number goes with it as metadata.
	Register(ctx context.Context, name string, id claimID) (registry.Timestamp, error)
	Release(ctx context.Context, id claimID) error
	// Cut stops the node from sending to these addresses, and lets it send to all others again.
	Cut(ctx context.Context, addrs []string) error
	// Skew has the node's wall clock be ahead, or behind if d is negative.
	Skew(ctx context.Context, d time.Duration) error
	// Observe returns what has happened since the last call.
	Observe(ctx context.Context) (observation, error)
	// View returns all that the node shows.
	View(ctx context.Context) (map[string]claimID, error)
	// Kill ends the node without a word to the others.
	Kill() error
	// Close ends the node when the run is over.
	Close() error
}

// nodeConfig is what a node is started with.
type nodeConfig struct {
	Name       string        `json:"name"`
	Port       int           `json:"port,omitempty"` // 0: any
	Seeds      []string      `json:"seeds,omitempty"`
	Partitions int           `json:"partitions"`
	Oldest     bool          `json:"oldest,omitempty"` // the oldest claim is kept, else the newest
	Queue      int           `json:"queue,omitempty"`
	Gossip     time.Duration `json:"gossip"`
	Probe      time.Duration `json:"probe"`
}

// A claimID is the number of a registration in the ledger, from 1. 0 is nobody's.
type claimID uint64

func (id claimID) meta() []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// claimOf reads the number out of a claim's metadata; those of a stranger have none.
func claimOf(meta []byte) claimID {
	if len(meta) != 8 {
		return 0
	}
	return claimID(binary.BigEndian.Uint64(meta))
}

// An observation is what happened on a node since the last one, and its counters.
type observation struct {
	// Full says that Changes are the whole view, because it is the first one or events were missed.
	Full    bool      `json:"full,omitempty"`
	Missed  uint64    `json:"missed,omitempty"` // events, since the last observation
	Changes []change  `json:"changes,omitempty"`
	Lost    []loss    `json:"lost,omitempty"`
	Count   nodeCount `json:"count"`
}

// A change is a name that has another holder on the node.
type change struct {
	Name string  `json:"n"`
	ID   claimID `json:"i,omitempty"` // 0: nobody
	// the wall clock of the machine, which all nodes share, in nanoseconds
	At int64 `json:"t"`
}

// A loss is a registration that ended without having been released.
type loss struct {
	ID       claimID `json:"i"`
	Conflict bool    `json:"c,omitempty"`
	Why      string  `json:"w,omitempty"`
}

// errNoClock says that a skewed clock would go unnoticed, and so would prove nothing.
var errNoClock = errors.New("the registry does not take the time from the clock that it was given")

// Errors of Register that are an answer and no failure. They stand for those of package registry,
// also from another process.
var (
	errTaken      = errors.New("taken")
	errOverloaded = errors.New("overloaded")
)
