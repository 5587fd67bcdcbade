package clustertest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRunOutlivesItsProcess kills the process that runs a function: another one begins, on one node
// only. It repeats that until the last process.
func TestRunOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	c := newCluster(t, startProcess, spec{})
	c.add("n0", "n1", "n2")
	for _, n := range c.nodes {
		n.ask(&request{Op: "run", Names: asBytes([]string{"leader"})})
	}
	for len(c.nodes) > 0 {
		var running []string
		waitUntil(t, fmt.Sprintf("one of %d nodes runs", len(c.nodes)), func() string {
			running = nil
			for _, n := range c.nodes {
				if n.held()["leader"] {
					running = append(running, n.spec.Name)
				}
			}
			if len(running) != 1 {
				return fmt.Sprintf("running: %v", running)
			}
			for _, n := range c.nodes {
				if holder := n.holders()["leader"]; holder != running[0] {
					return fmt.Sprintf("%s sees %q hold it, and %s runs", n.spec.Name, holder, running[0])
				}
			}
			return ""
		})
		n := c.drop(running[0])
		require.NoError(t, n.kill())
	}
}
