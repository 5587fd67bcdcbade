package clustertest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds the waits of a test. A passing test does not reach it.
const patience = 60 * time.Second

// A cluster holds the nodes of a test, and the state that they must reach.
type cluster struct {
	tb    testing.TB
	start starter
	base  spec // of all nodes
	nodes []*node
	want  map[string]string // the wanted holder of each name

	lastPort int // of the last node that was killed
}

func newCluster(tb testing.TB, start starter, base spec) *cluster {
	tb.Helper()
	if base.Pace == (pace{}) {
		base.Pace = brisk()
	}
	return &cluster{tb: tb, start: start, base: base, want: make(map[string]string)}
}

// add opens nodes, each with the addresses of existing ones as seeds.
func (c *cluster) add(names ...string) {
	c.tb.Helper()
	for _, name := range names {
		s := c.base
		s.Name = name
		c.open(&s)
	}
}

// seeds returns the addresses of at most three nodes.
func (c *cluster) seeds() []string {
	var list []string
	for _, n := range c.nodes[:min(3, len(c.nodes))] {
		list = append(list, n.addr)
	}
	return list
}

// nextPort is the next port to use. It is below those that the system chooses, so that the port of
// a node that restarts is free. Concurrent runs of the tests begin at different ports.
var nextPort atomic.Int32

const firstPort, ports = 12_000, 20_000

func newPort() int {
	nextPort.CompareAndSwap(0, 1+rand.Int32N(ports))
	return firstPort + int(nextPort.Add(1))%ports
}

// open opens a node. While its name, or its port, is taken it tries again.
func (c *cluster) open(s *spec) (refused int) {
	c.tb.Helper()
	fixed := s.Port != 0
	if len(s.Seeds) == 0 {
		s.Seeds = c.seeds()
	}
	var way caller
	var addr string
	waitUntil(c.tb, "open "+s.Name, func() string {
		if !fixed {
			s.Port = newPort()
		}
		var err error
		way, addr, err = c.start(c.tb, s)
		// the port is taken by another process; memberlist, and a child, report that as text
		if err != nil && strings.Contains(err.Error(), "address already in use") {
			return err.Error()
		}
		if errors.Is(err, errDuplicate) {
			refused++
			return err.Error()
		}
		require.NoError(c.tb, err, "open %s", s.Name)
		return ""
	})
	c.nodes = append(c.nodes, &node{caller: way, tb: c.tb, spec: *s, addr: addr})
	return refused
}

func (c *cluster) node(name string) *node {
	c.tb.Helper()
	for _, n := range c.nodes {
		if n.spec.Name == name {
			return n
		}
	}
	c.tb.Fatalf("there is no node %s", name)
	return nil
}

// drop removes a node, and its names from the wanted state.
func (c *cluster) drop(name string) *node {
	c.tb.Helper()
	n := c.node(name)
	c.nodes = slices.DeleteFunc(c.nodes, func(x *node) bool { return x == n })
	maps.DeleteFunc(c.want, func(_, holder string) bool { return holder == name })
	return n
}

// register registers names on a node. All must be free.
func (c *cluster) register(node string, names ...string) {
	c.tb.Helper()
	for i, e := range c.node(node).register([]byte("on "+node), names...) {
		require.Empty(c.tb, e, "%s registers %q", node, names[i])
	}
	for _, name := range names {
		c.want[name] = node
	}
}

func (c *cluster) release(node string, names ...string) {
	c.tb.Helper()
	c.node(node).release(names...)
	for _, name := range names {
		delete(c.want, name)
	}
}

// whole waits until all nodes see each other and the wanted state, and returns the time that this
// took.
func (c *cluster) whole(when string) time.Duration {
	c.tb.Helper()
	took := waitUntil(c.tb, when, func() string {
		for _, n := range c.nodes {
			if got := n.members(); len(got) != len(c.nodes) {
				return fmt.Sprintf("%s sees the nodes %v", n.spec.Name, got)
			}
		}
		return disagreement(c.nodes, c.want)
	})
	c.tb.Logf("%s: all %d nodes agree after %v", when, len(c.nodes), took.Round(time.Millisecond))
	return took
}

// disagreement returns a difference between a node and the wanted state, in the names that it shows
// or in those of its own holders, or "".
func disagreement(nodes []*node, want map[string]string) string {
	for _, n := range nodes {
		got := n.holders()
		for name, holder := range want {
			if got[name] != holder {
				return fmt.Sprintf("%s has %q held by %q instead of %q, and %d names instead of %d",
					n.spec.Name, name, got[name], holder, len(got), len(want))
			}
		}
		for name, holder := range got {
			if _, ok := want[name]; !ok {
				return fmt.Sprintf("%s has %q held by %q, but nobody should hold it", n.spec.Name, name, holder)
			}
		}
		held := n.held()
		for name := range held {
			if want[name] != n.spec.Name {
				return fmt.Sprintf("the holder of %q on %s was not told to stop: it should be held on %q", name,
					n.spec.Name, want[name])
			}
		}
		for name, holder := range want {
			if holder == n.spec.Name && !held[name] {
				return fmt.Sprintf("the holder of %q on %s was told to stop, but it should hold the name", name,
					holder)
			}
		}
	}
	return ""
}

// agreed checks that no two nodes resolved a conflict differently.
func (c *cluster) agreed() {
	c.tb.Helper()
	for _, n := range c.nodes {
		partitions := n.stats().Partitions
		for i := range partitions {
			require.Zero(c.tb, partitions[i].Disagreements, "%s, partition %d", n.spec.Name, i)
		}
		tally := n.tally()
		require.Zero(c.tb, tally["disagreement"], n.spec.Name)
		require.Zero(c.tb, tally["missed"], "events of %s were lost: its tally is worth nothing",
			n.spec.Name)
	}
}

// slow is the time after which a test logs the condition for which it waits.
const slow = 5 * time.Second

// waitUntil waits until missing, which returns the unmet condition, returns "". It returns the time
// that this took.
func waitUntil(tb testing.TB, what string, missing func() string) time.Duration {
	tb.Helper()
	start, tell := time.Now(), slow
	for {
		text := missing()
		took := time.Since(start)
		if text != "" && took > tell {
			tell += slow
			tb.Logf("%s: after %v still missing: %s", what, took.Round(time.Millisecond), text)
		}
		switch {
		case text == "":
			return took
		case took > patience:
			tb.Fatalf("%s: not within %v: %s", what, patience, text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// series returns n names.
func series(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s/%d", prefix, i)
	}
	return list
}
