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
	// patience is how long a test waits for what must come. It is not reached where all is well.
	patience = 40 * time.Second

	// leftPatience is how long a node that was closed may take until all that it had opened is
	// gone.
	leftPatience = 10 * time.Second

	// slack is what a busy machine may add to a bound that is promised.
	slack = 4 * time.Second

	// deadline is that of callers where a test is not about theirs: far beyond what is promised.
	deadline = 30 * time.Second

	// A node that is dead is given up after four seconds or so.
	probeInterval = time.Second
	probeTimeout  = 700 * time.Millisecond
)

// A testCluster is some nodes, the links between them and their origin.
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
		// Much more than a node takes to answer where all tests of a machine have two cores between
		// them: that an owner is taken for silent which only has no turn is correct, and costs a
		// load, but it is not what is tested.
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

// nextPort gives out ports that the system gives nobody by itself, so that a node which comes back
// finds its own free. Two runs of the tests at a time begin at different ones.
var nextPort atomic.Int32

const firstPort, ports = 12_000, 20_000

func newPort() int {
	nextPort.CompareAndSwap(0, 1+rand.Int32N(ports))
	return firstPort + int(nextPort.Add(1))%ports
}

func nameOf(i int) string { return "n" + strconv.Itoa(i) }

// add opens node i, which the cluster knows afterwards.
func (c *testCluster) add(i int) {
	c.tb.Helper()
	s := c.base
	s.Name = nameOf(i)
	require.NoError(c.tb, c.open(i, 0, &s))
}

// open opens a node. While its name or its port is taken it tries again.
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

// restart opens a node anew, at the same addresses, after its process has ended.
func (c *testCluster) restart(i int) {
	c.tb.Helper()
	p := c.nodes[i]
	<-p.gone
	s := p.spec
	require.NoError(c.tb, c.open(i, p.incarnation+1, &s))
}

func addrOf(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
