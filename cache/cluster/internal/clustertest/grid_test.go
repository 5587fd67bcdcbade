package clustertest

import (
	"flag"
	"fmt"
	"testing"
)

// grid runs a test for some ownerships and numbers of nodes.
func grid(t *testing.T, f func(t *testing.T, c *testCluster), base spec, cells ...cell) {
	for _, x := range cells {
		t.Run(fmt.Sprintf("%s%d", x.ownership, x.nodes), func(t *testing.T) {
			t.Parallel()
			if testing.Short() && x.when > always || x.when == whenAll && !*all {
				t.Skip("not with -short, or only with -all")
			}
			s := base
			s.Ownership = x.ownership
			f(t, start(t, x.nodes, s))
		})
	}
}

type cell struct {
	ownership string
	nodes     int
	when      when
}

// A when says in which runs a cell of the grid is tested.
type when int

const (
	always   when = iota
	notShort      // not with -short
	whenAll       // with -all
)

var all = flag.Bool("all", false,
	"run each test with all ways to own a key, on more nodes: it takes some minutes")
