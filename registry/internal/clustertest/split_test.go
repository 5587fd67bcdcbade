package clustertest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
	"github.com/snowfence/snowfence/registry"
)

// TestSplit splits a cluster in two, in one process.
func TestSplit(t *testing.T) {
	t.Parallel()
	for _, resolver := range []registry.Resolver{registry.KeepNewest, registry.KeepOldest} {
		t.Run(resolver.Name(), func(t *testing.T) {
			t.Parallel()
			if testing.Short() && resolver == registry.KeepOldest {
				t.Skip("skipped with -short")
			}
			cut := cutnet.New(1)
			c := newCluster(t, over(cut), spec{Resolver: resolver.Name()})
			left, right := []string{"a", "b"}, []string{"c", "d", "e"}
			c.add(left...)
			c.add(right...)
			split(c, left, right, func() { cut.Split(left, right) }, cut.Heal)
		})
	}
}

const namesInSplit = 1000

// split registers the same names on both sides of a split, and checks that each then has one
// holder. Of every other name the left side's claim is the newer one.
func split(c *cluster, left, right []string, cut, heal func()) {
	t := c.tb
	c.register(left[0], series("before", 50)...)
	c.whole("before the split")
	var sides [2][]*node
	for i, side := range [][]string{left, right} {
		for _, name := range side {
			sides[i] = append(sides[i], c.node(name))
		}
	}

	cut()
	took := waitUntil(t, "the sides give each other up", func() string {
		for i, side := range [][]string{left, right} {
			for _, n := range sides[i] {
				if got := n.members(); !slices.Equal(got, side) {
					return fmt.Sprintf("%s sees %v", n.spec.Name, got)
				}
			}
		}
		return ""
	})
	t.Logf("the sides had given each other up %v after the split", took.Round(time.Millisecond))

	// The names are spread over the nodes of each side.
	names := series("both", namesInSplit)
	holder := func(side []string, i int) string { return side[i/2%len(side)] }
	claim := func(side []string, parity int) {
		for _, node := range side {
			var mine []string
			for i, name := range names {
				if i%2 == parity && holder(side, i) == node {
					mine = append(mine, name)
				}
			}
			for i, e := range c.node(node).register([]byte("on "+node), mine...) {
				require.Empty(t, e, "%s registers %q: both sides stay available", node, mine[i])
			}
		}
	}
	claim(left, 0)
	claim(right, 0)
	claim(right, 1)
	claim(left, 1)
	views := [2]map[string]string{{}, {}}
	for i, name := range names {
		views[0][name], views[1][name] = holder(left, i), holder(right, i)
	}
	for _, name := range series("before", 50) {
		views[0][name] = left[0]
	}
	for i := range sides {
		waitUntil(t, "each side agrees", func() string { return disagreement(sides[i], views[i]) })
	}

	heal()
	keepOldest := c.base.Resolver == registry.KeepOldest.Name()
	lost := make(map[string]map[string]string) // by node and name: the winner
	for i, name := range names {
		winner, loser := holder(right, i), holder(left, i)
		if (i%2 == 1) != keepOldest {
			winner, loser = loser, winner
		}
		c.want[name] = winner
		if lost[loser] == nil {
			lost[loser] = make(map[string]string)
		}
		lost[loser][name] = winner
	}
	c.whole("after healing")
	told := 0
	for _, n := range c.nodes {
		got := n.toldOf(len(lost[n.spec.Name]))
		if len(got) > 0 {
			require.Equal(t, lost[n.spec.Name], got, "%s: who lost what, to whom", n.spec.Name)
		}
		told += len(got)
	}
	require.Equal(t, namesInSplit, told)
	t.Logf("%d losers were told, each of its winner", told)

	// A released name is free for the side that lost it, on all nodes and for good.
	for _, n := range slices.Clone(c.nodes) {
		var mine []string
		for i, name := range names {
			if i < 200 && c.want[name] == n.spec.Name {
				mine = append(mine, name)
			}
		}
		c.release(n.spec.Name, mine...)
	}
	c.whole("some names are released")
	for i, name := range names[:200] {
		side := left
		if i%3 == 0 {
			side = right
		}
		c.register(holder(side, i), name)
	}
	c.whole("they are taken again")
	c.agreed()
}

// TestOneWaySplit cuts one direction of one link. No node may be declared dead because of it, and
// all changes must reach all nodes.
func TestOneWaySplit(t *testing.T) {
	t.Parallel()
	cut := cutnet.New(1)
	c := newCluster(t, over(cut), spec{Pace: patient()})
	c.add("a", "b", "c", "d")
	c.whole("before the cut")
	cut.CutOneWay("a", "b")
	beside(c)
	cut.Heal()
	c.whole("after healing")
	c.agreed()
}

// TestOverlappingSplit cuts one link between two nodes that both see the others.
func TestOverlappingSplit(t *testing.T) {
	t.Parallel()
	cut := cutnet.New(1)
	c := newCluster(t, over(cut), spec{Pace: patient()})
	c.add("a", "b", "c")
	c.whole("before the cut")
	cut.Cut("a", "b")
	beside(c)
	cut.Heal()
	c.whole("after healing")
	c.agreed()
}

// beside tests a cluster in which the link between a and b is bad: each sees the other's names,
// conflicts between them are resolved, and no node is declared dead.
func beside(c *cluster) {
	t := c.tb
	start, bad := time.Now(), 2*c.base.Pace.suspicion() // one that began late ends within that
	for round := 0; time.Since(start) < bad; round++ {
		for _, n := range slices.Clone(c.nodes) {
			c.register(n.spec.Name, series(fmt.Sprintf("round %d of %s", round, n.spec.Name), 20)...)
		}
		c.whole("with a bad link: names")
		contest(c, "a", "b", series(fmt.Sprintf("contested %d", round), 40))
		c.whole("with a bad link: conflicts")
		for _, n := range slices.Clone(c.nodes) {
			c.release(n.spec.Name, series(fmt.Sprintf("round %d of %s", round, n.spec.Name), 10)...)
		}
		c.whole("with a bad link: releases")
		pause(t, bad/20) // the time matters; work without a pause would slow down other tests
	}
	for _, n := range c.nodes {
		for key, count := range n.tally() {
			require.NotContains(t, key, "node down", "%s saw it %d times", n.spec.Name, count)
		}
	}
}

// contest registers the same names on two nodes at the same time, waits until each has one holder,
// and enters that into c.want: only the nodes know which claim was last.
func contest(c *cluster, x, y string, names []string) {
	t := c.tb
	done := make(chan struct{})
	a, b := c.node(x), c.node(y)
	go func() {
		defer close(done)
		// the later one may get a TakenError
		_, _ = a.call(&request{Op: "register", Names: asBytes(names)})
	}()
	_, _ = b.call(&request{Op: "register", Names: asBytes(names)})
	<-done
	waitUntil(t, "each contested name has one holder", func() string {
		atA, atB := a.held(), b.held()
		for _, name := range names {
			if atA[name] == atB[name] {
				return fmt.Sprintf("%q: held on %s %t, on %s %t", name, x, atA[name], y, atB[name])
			}
		}
		for _, name := range names {
			c.want[name] = x
			if atB[name] {
				c.want[name] = y
			}
		}
		return ""
	})
}

// TestMute cuts one direction of all links of a node: it receives messages, but none that it sends
// arrives.
func TestMute(t *testing.T) {
	t.Parallel()
	cut := cutnet.New(1)
	c := newCluster(t, over(cut), spec{Pace: patient()})
	c.add("a", "b", "c")
	names := series("x", 60)
	c.register("a", names...)
	c.whole("before the cut")
	cut.CutOneWay("a", "b")
	cut.CutOneWay("a", "c")
	mute := c.node("a")
	rest := []*node{c.node("b"), c.node("c")}
	waitUntil(t, "the mute node's names are hidden", func() string { return disagreement(rest, nil) })
	c.register("b", names[:20]...)
	waitUntil(t, "some are taken over", func() string { return disagreement(rest, c.wantOf("b")) })
	cut.Heal()
	c.whole("after healing")
	require.Len(t, mute.toldOf(20), 20)
	c.agreed()
}

func (c *cluster) wantOf(node string) map[string]string {
	m := make(map[string]string)
	for _, name := range c.namesOf(node) {
		m[name] = node
	}
	return m
}
