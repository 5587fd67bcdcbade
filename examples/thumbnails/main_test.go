package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/leak"
)

// nodeVariable makes this test binary run the program, for tests that start processes: building the
// program would take longer than the tests.
const nodeVariable = "THUMBNAILS_TEST_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(nodeVariable) != "" {
		main()
		return
	}
	leak.Main(m)
}

func TestFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"-node 0: want 1, 2 or 3 (or -all)":                         nil,
		"-node 4: want 1, 2 or 3 (or -all)":                         {"-node", "4"},
		"-all starts all nodes: leave -node out":                    {"-all", "-node", "1"},
		`unexpected argument "x" (-h lists the flags)`:              {"-node", "1", "x"},
		"-port 65534: want 1 to 65533":                              {"-node", "1", "-port", "65534"},
		"-inside-port -1: want 1 to 65533":                          {"-node", "1", "-inside-port", "-1"},
		"-gossip-port 0: want 1 to 65533":                           {"-node", "1", "-gossip-port", "0"},
		"-ttl -1s: want 0 (for ever) or more":                       {"-node", "1", "-ttl", "-1s"},
		"-work -1s: want 0 or more":                                 {"-node", "1", "-work", "-1s"},
		"-shutdown -1s: want 0 or more":                             {"-node", "1", "-shutdown", "-1s"},
		"flag provided but not defined: -nope (-h lists the flags)": {"-nope"},
	} {
		var shown bytes.Buffer
		require.EqualError(t, run(t.Context(), args, "", &shown), want)
		require.Empty(t, shown.String(), "errors are shown once, by main")
	}
	err := run(t.Context(), []string{"-node", "1"}, "short", io.Discard)
	require.EqualError(t, err, "THUMBNAILS_SECRET has 5 bytes: want at least 32, or none")

	var help bytes.Buffer
	require.Error(t, run(t.Context(), []string{"-h"}, "", &help))
	require.Contains(t, help.String(), "go run ./examples/thumbnails -node 1")
	for _, flag := range []string{"-node", "-all", "-port", "-inside-port", "-cache-port",
		"-gossip-port", "-ttl", "-work", "-shutdown"} {
		require.Regexp(t, `(?m)^  `+flag+`\b`, help.String())
	}
}

// The error for a port in use names the port and the flag for another.
func TestPortInUse(t *testing.T) {
	for _, flag := range []string{"-port", "-inside-port", "-cache-port", "-gossip-port"} {
		t.Run(flag, func(t *testing.T) {
			first := freePorts(t)
			port := map[string]int{"-port": first, "-inside-port": first + nodes,
				"-gossip-port": first + 2*nodes, "-cache-port": first + 3*nodes}[flag]
			taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp",
				net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			require.NoError(t, err)
			defer taken.Close()
			err = run(t.Context(), append(portFlags(first), "-node", "1"), "", io.Discard)
			require.ErrorIs(t, err, syscall.EADDRINUSE)
			require.ErrorContains(t, err, strconv.Itoa(port))
			require.ErrorContains(t, err, "("+flag+")")
		})
	}
}

func TestDraw(t *testing.T) {
	cat, err := draw("cat")
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(cat), "\x89PNG"))
	dog, err := draw("dog")
	require.NoError(t, err)
	require.NotEqual(t, cat, dog)
}
