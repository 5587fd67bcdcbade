//go:build unix

package clustertest

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPause stops a process until it is declared dead, and resumes it. It keeps the names that no
// other node took meanwhile, and loses the rest.
func TestPause(t *testing.T) {
	t.Parallel()
	c := newCluster(t, startProcess, spec{})
	c.add("a", "b", "c")
	names := series("x", 50)
	c.register("c", names...)
	c.register("a", series("y", 50)...)
	c.whole("before the pause")

	paused := c.drop("c")
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		signal(t, paused, syscall.SIGSTOP)
		took := c.whole("a node was paused")
		t.Logf("given up after %v", took)
		taken := names[round*20 : round*20+20]
		c.register("b", taken...)
		c.whole("some of its names are taken over")

		signal(t, paused, syscall.SIGCONT)
		c.nodes = append(c.nodes, paused)
		for _, name := range names[round*20+20:] {
			c.want[name] = "c"
		}
		c.whole("it went on")
		lost := paused.toldOf(round*20 + 20)
		require.Len(t, lost, round*20+20)
		for _, name := range taken {
			require.Equal(t, "b", lost[name])
		}
		c.agreed()
		c.drop("c")
	}
	for _, e := range paused.ended() {
		require.True(t, e.Conflict, "%q ended: %s", e.Name, e.Cause)
	}
	require.NoError(t, paused.exit())
}

func signal(tb testing.TB, n *node, s syscall.Signal) {
	tb.Helper()
	p, ok := n.caller.(*process)
	require.True(tb, ok)
	require.NoError(tb, p.cmd.Process.Signal(s))
}
