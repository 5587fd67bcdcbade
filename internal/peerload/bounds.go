package peerload

import (
	"time"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/internal/measured"
)

const (
	// Slack is how many loads of a calm cluster may be more than needed: on a busy machine an owner may be silent for longer than it
	// should, once in a while.
	Slack = 0.02

	// settles is how long a cluster may take to notice that nodes are gone or back, and to have new owners.
	settles = 3 * time.Second

	// HealsWithin is how long it may take until all is as it was before: to notice a dead node takes seconds, to notice that a
	// split is over as well, and slots move to a node that joins for up to ten. For one TTL more, what moved or was lost has to be
	// loaded anew.
	HealsWithin = 10 * time.Second
)

// healsBy is how long after the disturbance all must be as before.
func (c Config) healsBy() time.Duration { return HealsWithin + c.TTL }

// calm reports whether nothing is disturbed at a time, nor any more by what was over at another.
func (c Config) calm(at, over time.Duration) bool {
	return c.Disturb == Calm || at < c.Start || over > 0 && at >= over+c.healsBy()
}

// struck reports whether a node is one that is ended or stopped, or cut off.
func (d Disturb) struck() bool {
	switch d {
	case Kill, Restart, Pause, Split, Rolling:
		return true
	case Calm, OriginSlow, OriginFail:
	}
	return false
}

// blind is the part of a run in which nodes may load for themselves: while they are disturbed, until that has been noticed, and
// for one TTL after it, since what is lost has to be loaded anew.
func blind(c Config) measured.Value {
	length := c.End - c.Start
	switch {
	case !c.Disturb.struck():
		return 0
	case c.Disturb == Kill:
		length = 0 // it is over at once
	}
	if c.TTL == 0 {
		return 1
	}
	return min(1, measured.Value(length+settles+c.TTL)/measured.Value(c.Duration))
}

// patient reports whether the loads of a slow origin are waited for.
func (c Config) patient() bool { return c.Disturb != OriginSlow || slowLoad(c) < c.Deadline }

// slowLoad is how long a load of a slow origin takes.
func slowLoad(c Config) time.Duration { return max(10*c.OriginLatency, time.Second) }

// loadTakes is how long a load takes that begins at a time.
func (c Config) loadTakes(at time.Duration) time.Duration {
	if c.Disturb == OriginSlow && at >= c.Start && at < c.End {
		return slowLoad(c)
	}
	return c.OriginLatency
}

// answersWithin is how long a fetch may take at most, as package cluster promises: an owner is silent, and so is the one that
// another node said is the owner; then the node loads for itself. Who fails in a cluster with a deadline beyond that was let
// down.
func (c Config) answersWithin() time.Duration {
	silence := c.PeerTimeout
	if silence == 0 {
		silence = cluster.DefaultPeerTimeout
	}
	load := c.OriginLatency
	if c.Disturb == OriginSlow {
		load = slowLoad(c)
	}
	const busy = 400 * time.Millisecond // for a busy machine
	return 2*silence + load + busy
}
