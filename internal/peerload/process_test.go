package peerload

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startNodes starts nodes that share nothing, so that they are quick. They are ended with the test.
func startNodes(t *testing.T, n int) *run {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	c := DefaultConfig()
	c.Command, c.Nodes = []string{"env", nodeVariable + "=1", self}, n
	r := &run{c: c, ownership: None, nodes: make([]*process, n)}
	r.origin, err = openOrigin(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(r.origin.close)
	for i := range n {
		require.NoError(t, r.start(t.Context(), i))
	}
	t.Cleanup(func() {
		for _, p := range r.all {
			p.kill()
		}
	})
	return r
}

func awaitEnd(t *testing.T, p *process) {
	t.Helper()
	select {
	case <-p.gone:
	case <-time.After(20 * time.Second):
		require.Fail(t, "it goes on", p.name)
	}
}

// When the parent is gone, however it ended, its nodes end as their input does. One that is stopped can't, so another ends it.
func TestParentGone(t *testing.T) {
	t.Parallel()
	r := startNodes(t, 3)
	require.NoError(t, r.ward([]int{2}))
	require.NoError(t, r.signal(syscall.SIGSTOP, []int{2}))
	for _, p := range r.nodes {
		require.NoError(t, p.stdin.Close()) // as the kernel does for a parent that was killed
	}
	for _, p := range r.nodes {
		awaitEnd(t, p)
	}
}

// A process that goes on is not another's to end any more.
func TestWardEnds(t *testing.T) {
	t.Parallel()
	r := startNodes(t, 2)
	require.NoError(t, r.ward([]int{1}))
	require.NoError(t, r.signal(syscall.SIGSTOP, []int{1}))
	require.NoError(t, r.signal(syscall.SIGCONT, []int{1}))
	require.NoError(t, r.ward(nil))
	require.NoError(t, r.nodes[0].stdin.Close())
	awaitEnd(t, r.nodes[0])
	before := r.nodes[1].seen().At
	assert.Eventually(t, func() bool { return r.nodes[1].seen().At > before }, 20*time.Second, 10*time.Millisecond)
}
