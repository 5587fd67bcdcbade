package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Three processes make a thumbnail once; when one is killed, the others go on; and they end when they are told to.
func TestThreeNodes(t *testing.T) {
	program := filepath.Join(t.TempDir(), "thumbnails")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	web, gossip := freePorts(t), freePorts(t)
	var nodes [3]*exec.Cmd
	for i := range nodes {
		cmd := exec.Command(program, "-node", strconv.Itoa(i+1), "-work", "300ms", //nolint:gosec,noctx // ended below
			"-port", strconv.Itoa(web), "-gossip-port", strconv.Itoa(gossip))
		var log bytes.Buffer
		cmd.Stderr = &log
		cmd.Env = append(os.Environ(), "THUMBNAILS_SECRET=a secret of more than thirty-two bytes")
		require.NoError(t, cmd.Start())
		nodes[i] = cmd
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Log(log.String())
			}
		})
	}
	url := func(node int, path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", web+node, path) }
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	call := func(method, url string) (status int, body string, err error) {
		r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url, http.NoBody)
		if err != nil {
			return 0, "", err
		}
		answer, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer answer.Body.Close()
		all, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(all), err
	}
	value := func(node int, metric string) int {
		_, body, err := call(http.MethodGet, url(node, "/metrics"))
		require.NoError(t, err)
		found := regexp.MustCompile(`(?m)^` + metric + `(?:\{.*\})? (\d+)$`).FindStringSubmatch(body)
		require.NotNil(t, found, "no metric %s in %s", metric, body)
		n, err := strconv.Atoi(found[1])
		require.NoError(t, err)
		return n
	}
	loads := func() (n int) {
		for i := range nodes {
			n += value(i, "snowfence_cluster_loads_total")
		}
		return n
	}
	require.Eventually(t, func() bool {
		for i := range nodes {
			if status, _, err := call(http.MethodGet, url(i, "/healthz")); err != nil || status != http.StatusOK {
				return false
			}
			if value(i, "snowfence_cluster_peers") != 2 {
				return false
			}
		}
		return true
	}, 30*time.Second, 20*time.Millisecond, "the nodes do not see each other")

	var wg sync.WaitGroup
	for i := range 99 {
		wg.Go(func() {
			status, body, err := call(http.MethodGet, url(i%3, "/thumb/cat"))
			assert.NoError(t, err)
			assert.Equal(t, http.StatusOK, status)
			assert.Equal(t, "\x89PNG", body[:min(4, len(body))])
		})
	}
	wg.Wait()
	require.Equal(t, 1, loads())

	for i := range nodes {
		status, body, err := call(http.MethodGet, url(i, "/thumb/no-cat"))
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, status, body)
	}
	status, _, err := call(http.MethodDelete, url(1, "/thumb/cat"))
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, status)
	before := loads()
	for i := range nodes {
		_, _, err := call(http.MethodGet, url(i, "/thumb/cat"))
		require.NoError(t, err)
	}
	require.Equal(t, before+1, loads(), "made once more, after the delete")

	require.NoError(t, nodes[2].Process.Kill())
	for i := range 20 {
		status, body, err := call(http.MethodGet, url(i%2, fmt.Sprintf("/thumb/dog%d", i/2)))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
	}
	for _, cmd := range nodes[:2] {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	}
	for _, cmd := range nodes[:2] {
		require.NoError(t, cmd.Wait(), "it ends in good order")
	}
}

// freePorts returns the first of three ports in a row that nobody uses, for TCP and UDP.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		first, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := first.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // it is TCP
		require.NoError(t, first.Close())
		free := port < 65533
		for i := port; free && i < port+3; i++ {
			address := fmt.Sprintf("127.0.0.1:%d", i)
			tcp, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
			udp, err2 := new(net.ListenConfig).ListenPacket(t.Context(), "udp", address)
			free = err == nil && err2 == nil
			if err == nil {
				require.NoError(t, tcp.Close())
			}
			if err2 == nil {
				require.NoError(t, udp.Close())
			}
		}
		if free {
			return port
		}
	}
	t.Fatal("no three free ports in a row")
	return 0
}

func TestFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"-node 0: want 1, 2 or 3 (or -all)":      nil,
		"-node 4: want 1, 2 or 3 (or -all)":      {"-node", "4"},
		"-all starts all nodes: leave -node out": {"-all", "-node", "1"},
		`"x" is no flag (-h lists them)`:         {"-node", "1", "x"},
		"-port 70000: want 1 to 65533":           {"-node", "1", "-port", "70000"},
		"-gossip-port 0: want 1 to 65533":        {"-node", "1", "-gossip-port", "0"},
		"-work -1s: want 0 or more":              {"-node", "1", "-work", "-1s"},
		"flag provided but not defined: -nope":   {"-nope"},
	} {
		require.EqualError(t, run(t.Context(), args, io.Discard), want)
	}
	var help bytes.Buffer
	require.Error(t, run(t.Context(), []string{"-h"}, &help))
	require.Contains(t, help.String(), "go run ./examples/thumbnails -node 1")
}

// A port that is in use is named.
func TestPortInUse(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // it is TCP
	err = run(t.Context(), []string{"-node", "1", "-port", strconv.Itoa(port), "-gossip-port", strconv.Itoa(freePorts(t))}, io.Discard)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, strconv.Itoa(port))
}
