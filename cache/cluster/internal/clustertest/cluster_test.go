package clustertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
)

const (
	// patience bounds how long a test waits for an event. It is not reached if all is well.
	patience = 40 * time.Second

	// leftPatience bounds how long a closed node takes to release all that it had opened.
	leftPatience = 10 * time.Second

	// slack is by how much a busy machine may exceed a promised bound.
	slack = 4 * time.Second

	// deadline is the deadline of callers in tests that are not about deadlines: far beyond what is
	// promised.
	deadline = 30 * time.Second

	// A dead node stops being a member after some four seconds.
	probeInterval = time.Second
	probeTimeout  = 700 * time.Millisecond
)

// A testCluster has nodes, the links between them and their origin.
type testCluster struct {
	tb     testing.TB
	origin *origin
	base   spec
	nodes  []*process // in the order of their names, n0, n1, …
	cuts   map[cut]bool
	refuse bool
	delay  time.Duration
}

// A cut is one direction of a link, of the registry or of HTTP.
type cut struct {
	http     bool
	from, to int
}

// start opens n nodes and waits until all see each other.
func start(tb testing.TB, n int, base spec) *testCluster {
	tb.Helper()
	if base.Ownership == "" {
		base.Ownership = cluster.ByKey.String()
	}
	if base.Slots == 0 {
		base.Slots = 32
	}
	if base.PeerTimeout == 0 {
		// Much longer than a node takes to answer while all tests share two cores. An owner that only
		// waits for a core may count as silent: that is correct and costs a load, but it is not what is
		// tested.
		base.PeerTimeout = 2500 * time.Millisecond
	}
	c := &testCluster{tb: tb, origin: newOrigin(), base: base, cuts: make(map[cut]bool)}
	for i := range n {
		c.add(i)
	}
	c.settle()
	tb.Cleanup(c.finish)
	return c
}

// nextPort is the next port outside the range from which the system chooses ports, so that a node
// that restarts finds its own free. Two runs of the tests at a time begin at different ports.
var nextPort atomic.Int32

const firstPort, ports = 12_000, 20_000

func newPort() int {
	nextPort.CompareAndSwap(0, 1+rand.Int32N(ports))
	return firstPort + int(nextPort.Add(1))%ports
}

func nameOf(i int) string { return "n" + strconv.Itoa(i) }

// add opens node i and adds it to the cluster.
func (c *testCluster) add(i int) {
	c.tb.Helper()
	s := c.base
	s.Name = nameOf(i)
	require.NoError(c.tb, c.open(i, 0, &s))
}

// open opens a node. It tries again while the node's name or port is taken.
func (c *testCluster) open(i, run int, s *spec) error {
	fixed := s.Port != 0
	s.Seeds = nil
	for k, p := range c.nodes {
		reached := !c.cuts[cut{false, i, k}] && !c.cuts[cut{false, k, i}]
		if k != i && p.alive() && reached {
			s.Seeds = append(s.Seeds, addrOf(p.spec.Port))
		}
	}
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if !fixed {
			s.Port, s.HTTPPort = newPort(), newPort()
		}
		s.Links = c.linksOf(i)
		p, err := startProcess(c.tb, s, run, c.origin)
		switch {
		case err == nil:
			if i == len(c.nodes) {
				c.nodes = append(c.nodes, p)
			}
			c.nodes[i] = p
			return nil
		case time.Since(start) > patience,
			!errors.Is(err, errDuplicate) && !strings.Contains(err.Error(), "address already in use"):
			return fmt.Errorf("opening %s: %w", s.Name, err)
		}
	}
}

// restart opens a node again, at the same addresses, after its process has ended.
func (c *testCluster) restart(i int) {
	c.tb.Helper()
	p := c.nodes[i]
	<-p.gone
	s := p.spec
	require.NoError(c.tb, c.open(i, p.incarnation+1, &s))
}

func addrOf(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
