package cluster

import (
	"time"
)

// Config says what is run.
type Config struct {
	Nodes      int           // how many, at least 1
	Ownerships []Ownership   // one run for each
	Duration   time.Duration // of each run's load

	// fetches per second and node, begun by the clock whether or not the ones before have ended
	Rate float64
	Keys int     // how many there are
	Zipf float64 // the skew of their popularity, above 1; 0: all alike
	Size int     // bytes of a value

	TTL         time.Duration
	Capacity    int           // entries of each node's cache
	CopyTTL     time.Duration // 0: the default of package cluster; negative: none
	PeerTimeout time.Duration // 0: the default
	Deadline    time.Duration // of each fetch

	OriginLatency time.Duration // how long a load takes
	OriginErrors  float64       // the share of loads that fail, from 0 to 1

	Disturb Disturb
	Start   time.Duration // when the disturbance begins, from the beginning of the load
	// when it ends: what was cut is whole, what was stopped goes on, what was killed is started again
	End time.Duration
	// how many nodes it is for (of Split: how many on one side); not those of Rolling, which are all
	Victims int

	Seed uint64

	// Command is the command line of a node's process, which must run Serve.
	Command []string

	// Progress, if not nil, is called some times per second, by one goroutine at a time. It must not
	// block.
	Progress func(Progress)
}

// Progress is how far the runs are.
type Progress struct {
	Run, Runs int // this one, from 0, and how many there are
	Ownership Ownership
	Doing     string // Starting, Warming, Running, Settling
	Elapsed   time.Duration
	Duration  time.Duration
	Fetches   uint64
	Loads     uint64 // by the origin
}

// What a run is at.
const (
	Starting = "starting"
	Running  = "running"
	Settling = "settling"
)

// Ownership is how a key finds the node that loads it.
type Ownership string

// The kinds of ownership: those of package cluster, and none: each node has a cache of its own, as
// services do without a cluster.
const (
	ByKey  Ownership = "key"
	BySlot Ownership = "slot"
	ByRing Ownership = "ring"
	None   Ownership = "none"
)

// Disturb is what is done to the nodes.
type Disturb string

// The disturbances.
const (
	Calm    Disturb = "none"
	Kill    Disturb = "kill"    // kill -9; the nodes stay away until the end of the load
	Restart Disturb = "restart" // kill -9, and started again at End
	Pause   Disturb = "pause"   // SIGSTOP, and SIGCONT at End
	// Split cuts the registry's and the HTTP traffic between two sides; both reach the origin.
	Split Disturb = "split"
	// Rolling ends one node after the other in good order, and starts it again.
	Rolling    Disturb = "rolling"
	OriginSlow Disturb = "origin-slow" // loads take ten times as long, at least a second
	OriginFail Disturb = "origin-fail" // every load fails
	// Poison makes the load of the most popular key end its process; the nodes stay away.
	Poison Disturb = "poison"
)
