package registry

import (
	"cmp"
	"fmt"
	"time"
)

// A Preset holds values for the fields of [Config] that depend on the network between the nodes. A
// field that is set keeps its value.
type Preset int

const (
	// LAN is for nodes in one data centre, with round trips of up to some 10 ms: GossipInterval 50
	// ms, ProbeInterval 1 s, ProbeTimeout 500 ms, SuspicionMult 4, RejoinInterval 5 s. A node that
	// dies is detected after 6 to 10 s in a cluster of up to ten.
	LAN Preset = iota

	// WAN is for nodes in several regions, with round trips of up to some 500 ms and packets that
	// get lost: GossipInterval 200 ms, ProbeInterval 5 s, ProbeTimeout 2.5 s, SuspicionMult 6,
	// RejoinInterval 15 s. A node that dies is detected after about a minute in a cluster of up to
	// ten.
	WAN

	// Loopback is for tests with all nodes on one machine: GossipInterval 10 ms, ProbeInterval 200
	// ms, ProbeTimeout 100 ms, SuspicionMult 3, RejoinInterval 200 ms. A node that dies is detected
	// after 1 to 4 s. If the machine is busy for a second, live nodes are declared dead.
	Loopback
)

const ms = time.Millisecond

// presets holds the values, by Preset.
var presets = [...]struct {
	name                                string
	gossip, probe, probeTimeout, rejoin time.Duration
	suspicion                           int
}{
	LAN:      {"LAN", 50 * ms, time.Second, 500 * ms, 5 * time.Second, 4},
	WAN:      {"WAN", 200 * ms, 5 * time.Second, 2500 * ms, 15 * time.Second, 6},
	Loopback: {"Loopback", 10 * ms, 200 * ms, 100 * ms, 200 * ms, 3},
}

func (p Preset) known() bool { return p >= 0 && int(p) < len(presets) }

// String returns the name of the constant.
func (p Preset) String() string {
	if !p.known() {
		return fmt.Sprintf("Preset(%d)", int(p))
	}
	return presets[p].name
}

// withPreset returns c with the fields filled in that depend on the network.
func (c Config) withPreset() Config {
	if !c.Preset.known() {
		return c // which validate refuses
	}
	p := presets[c.Preset]
	c.GossipInterval = cmp.Or(c.GossipInterval, p.gossip)
	c.ProbeInterval = cmp.Or(c.ProbeInterval, p.probe)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, min(p.probeTimeout, max(c.ProbeInterval, 0)/2))
	c.SuspicionMult = cmp.Or(c.SuspicionMult, p.suspicion)
	c.RejoinInterval = cmp.Or(c.RejoinInterval, p.rejoin)
	return c
}
