package clustertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLifeOfACluster tests the usual events in the life of a cluster, in one process and in
// several.
func TestLifeOfACluster(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name  string
		start starter
	}{{"in one process", startLocal}, {"as processes", startProcess}} {
		for _, size := range []int{3, 5, 9} {
			if testing.Short() && size > 3 {
				continue
			}
			t.Run(fmt.Sprintf("%d nodes %s", size, kind.name), func(t *testing.T) {
				t.Parallel()
				live(newCluster(t, kind.start, spec{}), size)
			})
		}
	}
}

const namesEach = 20

func live(c *cluster, size int) {
	var names []string
	for i := range size {
		names = append(names, fmt.Sprintf("n%d", i))
	}
	c.add(names...)
	for _, name := range names {
		c.register(name, series(name, namesEach)...)
	}
	c.whole("joined")

	last := names[size-1]
	c.crash(last)
	orphans := series(last, namesEach)
	c.register(names[0], orphans[:namesEach/2]...)
	c.whole("some of its names are taken over")

	c.restart(last, c.lastPort)
	c.whole("it started anew at the same port")
	c.register(last, orphans[namesEach/2:]...)
	c.whole("it took its other names again")

	if !testing.Short() {
		c.crash(last)
		c.restart(last, 0)
		c.register(last, orphans[namesEach/2:]...)
		c.whole("it started anew at another port")
	}

	c.kill(last)
	require.Zero(c.tb, c.restart(last, c.lastPort), "refusals at the address of the previous node")
	c.whole("it started anew at once at the same port")
	c.register(last, orphans[namesEach/2:]...)
	c.whole("it took its other names once more")

	c.kill(last)
	refused := c.restart(last, 0)
	c.tb.Logf("started at another port at once after a kill: refused %d times until the node before "+
		"was given up", refused)
	require.Positive(c.tb, refused, "the name still belongs to the previous node")
	c.register(last, orphans[namesEach/2:]...)
	c.whole("its name was free again")

	leaver := names[1]
	left := c.leave(leaver)
	c.told(leaver+" left", func(n *node) string {
		tally := n.tally()
		hidden := tally["unregistered "+leaver+": node left"] + tally["unregistered "+leaver+
			": registry closed"]
		if downs := tally["node down "+leaver+": node left"]; hidden < namesEach || downs < 1 {
			return fmt.Sprintf("%d names of %d went, the node %d times", hidden, namesEach, downs)
		}
		require.Equal(c.tb, namesEach, hidden, n.spec.Name)
		require.Equal(c.tb, 1, tally["node down "+leaver+": node left"], n.spec.Name)
		require.Zero(c.tb, tally["node down "+leaver+": node down"], n.spec.Name)
		return ""
	})
	c.register(names[0], series(leaver, namesEach)...)
	c.whole("the names of the node that left are taken over")
	c.release(names[0], series(leaver, namesEach)...)
	c.whole("they are released")
	c.restart(leaver, left)
	c.register(leaver, series(leaver, namesEach)...)
	c.whole("the node that left is back")

	start := time.Now()
	for _, name := range names {
		mine := c.namesOf(name)
		port := c.leave(name)
		c.restart(name, port)
		c.register(name, mine...)
	}
	c.whole("each node in turn left and came back")
	c.tb.Logf("rolling restart of %d nodes: %v", size, time.Since(start).Round(time.Millisecond))
	c.agreed()
}

// kill kills a node, and does not wait for the others to detect it.
func (c *cluster) kill(name string) {
	c.tb.Helper()
	n := c.drop(name)
	c.lastPort = n.port()
	require.NoError(c.tb, n.kill())
}

// crash kills a node and waits until the others have declared it dead. Its names must be hidden,
// and no others even for a moment.
func (c *cluster) crash(name string) {
	c.tb.Helper()
	before := make(map[*node]map[string]int)
	for _, n := range c.nodes {
		before[n] = n.tally()
	}
	mine := len(c.namesOf(name))
	c.kill(name)
	took := c.whole(name + " was killed")
	c.tb.Logf("%s was given up by %d nodes %v after its death", name, len(c.nodes),
		took.Round(time.Millisecond))
	c.told(name+" was killed", func(n *node) string {
		var hidden, downs int
		for key, count := range n.tally() {
			count -= before[n][key]
			if count == 0 || !strings.HasPrefix(key, "unregistered ") &&
				!strings.HasPrefix(key, "node down ") {
				continue
			}
			switch key {
			case "unregistered " + name + ": node down":
				hidden += count
			case "unregistered " + name + ": registry closed":
				// A node in this process is killed by closing its registry. On a slow machine that
				// may still send a message first; a killed process can't.
				hidden += count
			case "node down " + name + ": node down":
				downs = count
			default:
				c.tb.Fatalf("%s saw %d × %q when only %s was killed", n.spec.Name, count, key, name)
			}
		}
		if hidden < mine || downs < 1 {
			return fmt.Sprintf("%d names of %d went, the node %d times", hidden, mine, downs)
		}
		require.Equal(c.tb, mine, hidden, n.spec.Name)
		require.Equal(c.tb, 1, downs, n.spec.Name)
		return ""
	})
}

// told waits until each node's watchers have the events for what the node already shows: events are
// sent after that, and counted later still.
func (c *cluster) told(what string, missing func(*node) string) {
	c.tb.Helper()
	waitUntil(c.tb, what+": the events", func() string {
		for _, n := range c.nodes {
			if text := missing(n); text != "" {
				return n.spec.Name + ": " + text
			}
		}
		return ""
	})
}

func (c *cluster) namesOf(node string) []string {
	var list []string
	for name, holder := range c.want {
		if holder == node {
			list = append(list, name)
		}
	}
	return list
}

// restart opens a node under the name of one that is gone. It returns the number of refusals.
func (c *cluster) restart(name string, port int) (refused int) {
	c.tb.Helper()
	s := c.base
	s.Name, s.Port = name, port
	return c.open(&s)
}

// leave makes a node leave and exit, and returns its port.
func (c *cluster) leave(name string) (port int) {
	c.tb.Helper()
	n := c.drop(name)
	n.ask(&request{Op: "leave"})
	c.whole(name + " left")
	require.NoError(c.tb, n.exit())
	return n.port()
}
