package clustertest

import (
	"github.com/stretchr/testify/require"
)

func (c *testCluster) all() []int {
	list := make([]int, len(c.nodes))
	for i := range list {
		list[i] = i
	}
	return list
}

// running returns the nodes that run, and are not stopped.
func (c *testCluster) running() []int {
	var list []int
	for i, p := range c.nodes {
		if p.alive() {
			list = append(list, i)
		}
	}
	return list
}

// The ways between nodes.
const (
	overRegistry = 1 << iota
	overHTTP
	overBoth = overRegistry | overHTTP
)

// cutOneWay cuts the direction from one node to another.
func (c *testCluster) cutOneWay(ways, from, to int) { c.setCut(ways, from, to, true) }

func (c *testCluster) setCut(ways, from, to int, is bool) {
	if ways&overRegistry != 0 {
		c.cuts[cut{false, from, to}] = is
	}
	if ways&overHTTP != 0 {
		c.cuts[cut{true, from, to}] = is
	}
}

// split cuts all links between nodes of two groups.
func (c *testCluster) split(ways int, one, other []int) {
	for _, a := range one {
		for _, b := range other {
			c.cutOneWay(ways, a, b)
			c.cutOneWay(ways, b, a)
		}
	}
}

// apply puts the cuts into force, and returns when they are on all running nodes.
func (c *testCluster) apply() {
	c.tb.Helper()
	for i, p := range c.nodes {
		if p.alive() {
			require.NoError(c.tb, c.sendCuts(i))
		}
	}
}

// heal brings all links up again.
func (c *testCluster) heal() {
	c.tb.Helper()
	clear(c.cuts)
	c.refuse, c.delay = false, 0
	c.apply()
}

// sendCuts sends a node the list of its links that are cut.
func (c *testCluster) sendCuts(i int) error {
	s := c.linksOf(i)
	_, err := c.nodes[i].do(command{Op: "links", Links: &s})
	return err
}

func (c *testCluster) linksOf(i int) linkState {
	s := linkState{Refuse: c.refuse, RegistryDelay: c.delay}
	for k, p := range c.nodes {
		reg, http := addrOf(p.spec.Port), addrOf(p.spec.HTTPPort)
		if c.cuts[cut{false, i, k}] {
			s.RegistryOut = append(s.RegistryOut, reg)
		}
		if c.cuts[cut{false, k, i}] {
			s.RegistryIn = append(s.RegistryIn, reg)
		}
		if c.cuts[cut{true, i, k}] {
			s.HTTPOut = append(s.HTTPOut, http)
		}
		if c.cuts[cut{true, k, i}] {
			s.HTTPIn = append(s.HTTPIn, http)
		}
	}
	return s
}
