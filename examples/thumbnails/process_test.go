package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const secret = "a secret of more than thirty-two bytes"

// process is a node that was started like a user starts it.
type process struct {
	*exec.Cmd
	log   bytes.Buffer // read it only when the process has ended
	ended chan error
}

func startProcess(t *testing.T, secret string, args ...string) *process {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	//nolint:gosec // ours
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	p := &process{Cmd: cmd, ended: make(chan error, 1)}
	p.Stderr = &p.log
	p.Env = append(os.Environ(), "THUMBNAILS_SECRET="+secret, nodeVariable+"=1")
	require.NoError(t, p.Start())
	go func() {
		p.ended <- p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		for range p.ended {
		}
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	return p
}

// Three processes make a thumbnail once. When one is killed, the others go on. They end on SIGTERM.
func TestThreeNodes(t *testing.T) {
	s := newSite(t)
	node := make(map[int]*process)
	for i := 1; i <= nodes; i++ {
		node[i] = startProcess(t, secret,
			append(portFlags(s.first), "-node", strconv.Itoa(i), "-work", "300ms")...)
	}
	s.await(t, 2, 1, 2, 3)

	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			a := s.thumb(http.MethodGet, i%nodes+1, "cat")
			assert.NoError(t, a.err)
			assert.Equal(t, http.StatusOK, a.status)
			assert.True(t, strings.HasPrefix(a.body, "\x89PNG"))
			assert.Equal(t, "image/png", a.header.Get("Content-Type"))
			assert.Equal(t, fmt.Sprint("thumbs-", i%nodes+1), a.header.Get("X-Node"))
		})
	}
	all.Wait()
	require.Equal(t, 1, s.loads(t))

	made := make(map[string]bool)
	for i := range nodes {
		made[s.thumb(http.MethodGet, i+1, "cat").header.Get("X-Made-By")] = true
	}
	require.Len(t, made, 1, "all nodes name the same maker")

	for i := range nodes {
		a := s.thumb(http.MethodGet, i+1, "no-cat")
		require.Equal(t, http.StatusNotFound, a.status, a.body)
		require.Equal(t, "no such picture\n", a.body)
	}
	require.Equal(t, http.StatusRequestURITooLong,
		s.thumb(http.MethodGet, 1, strings.Repeat("x", 5000)).status)

	require.Equal(t, http.StatusNoContent, s.thumb(http.MethodDelete, 2, "cat").status)
	before := s.loads(t)
	for i := range nodes {
		require.Equal(t, http.StatusOK, s.thumb(http.MethodGet, i+1, "cat").status)
	}
	require.Equal(t, before+1, s.loads(t), "made once more, after the delete")

	require.NoError(t, node[3].Process.Kill()) // kill -9
	for i := range 20 {
		a := s.thumb(http.MethodGet, i%2+1, fmt.Sprint("dog", i/2))
		require.NoError(t, a.err)
		require.Equal(t, http.StatusOK, a.status, a.body)
	}
	// A node with another secret does not start, and does not affect the others.
	stranger := startProcess(t, "no "+secret,
		append(portFlags(s.first), "-node", "3", "-work", "1ms")...)
	require.Error(t, <-stranger.ended)
	require.Contains(t, stranger.log.String(), "the encryption keys don't match")
	require.Equal(t, http.StatusOK, s.health(1).status)
	require.NotEqual(t, "thumbs-3", s.thumb(http.MethodGet, 1, "cat").header.Get("X-Made-By"))

	if runtime.GOOS == "windows" {
		return // it has no signal for a graceful end
	}
	// A node shuts down cleanly although it cannot notify the only other one.
	require.NoError(t, node[2].Process.Kill())
	require.NoError(t, node[1].Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-node[1].ended)
}

// -all starts three processes. When one is killed, the others go on, and all end with the parent.
func TestAll(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signal that asks a process to end")
	}
	s := newSite(t)
	all := startProcess(t, secret, append(portFlags(s.first), "-all", "-work", "1ms")...)
	s.await(t, 2, 1, 2, 3)
	for i := range 30 {
		require.Equal(t, http.StatusOK, s.thumb(http.MethodGet, i%3+1, strconv.Itoa(i/3)).status)
	}
	require.Equal(t, 10, s.loads(t))
	require.NoError(t, all.Process.Signal(os.Interrupt))
	require.NoError(t, <-all.ended)
	require.Equal(t, 3, strings.Count(all.log.String(), "msg=ending"))
	require.NotContains(t, all.log.String(), "a node has ended",
		"all in good order, although none can tell the others")
	for i := range 3 {
		require.Error(t, s.health(i+1).err)
	}
}

// A node that shuts down fails its health check, and still serves waiting users.
func TestEnd(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append(portFlags(s.first), "-node", "1", "-work", "3s"), secret, &log)
	}()
	s.await(t, 0, 1)
	soon := func(is func() bool) { require.Eventually(t, is, 20*time.Second, 5*time.Millisecond) }
	waits := make(chan answer, 1)
	go func() { waits <- s.thumb(http.MethodGet, 1, "cat") }()
	soon(func() bool { return s.metric(t, 1, "snowfence_cluster_callers_waiting") == 1 })
	page := s.inside(1, "/debug/snowfence/?format=text")
	require.NoError(t, page.err)
	require.Contains(t, page.body, "thumbs (cluster)")

	cancel()
	soon(func() bool { return s.health(1).status == http.StatusServiceUnavailable })
	a := <-waits
	require.NoError(t, a.err)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "thumbs-1", a.header.Get("X-Made-By"))
	s.client.CloseIdleConnections()
	require.NoError(t, <-ended)
	require.Contains(t, log.String(), "leaving the cluster")
	require.Error(t, s.health(1).err)
	require.Error(t, s.thumb(http.MethodGet, 1, "cat").err)
}
