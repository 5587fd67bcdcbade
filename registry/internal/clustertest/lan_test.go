//go:build linux

package clustertest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A lan is a network of network namespaces: one for each node, and one with bridges that link them.
// A node reaches the nodes on the same bridge.
type lan struct {
	tb    testing.TB
	hub   string
	wires map[string]string // by node: its end in the hub
	hosts map[string]string // by node: its namespace
	addrs map[string]string // by node
}

// lanPrefix is the prefix of the namespaces' names. The process's number follows, so that those of
// a dead process can be found.
const lanPrefix = "snowfence-test-"

var lans atomic.Int64

// newLan makes a network, or skips the test where that is not possible.
func newLan(tb testing.TB, nodes ...string) *lan {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("skipped: network namespaces need root; TestSplit does the same over links that are " +
			"cut in the process")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		tb.Skipf("skipped: network namespaces need the ip command: %v", err)
	}
	sweep(tb)
	prefix := fmt.Sprintf("%s%d-%d-", lanPrefix, os.Getpid(), lans.Add(1))
	l := &lan{tb: tb, hub: prefix + "hub", wires: map[string]string{}, hosts: map[string]string{},
		addrs: map[string]string{}}
	if err := l.build(prefix, nodes); err != nil {
		tb.Skipf("skipped: no network namespaces here: %v", err)
	}
	return l
}

func (l *lan) build(prefix string, nodes []string) error {
	if err := l.namespace(l.hub); err != nil {
		return err
	}
	var steps []string
	for _, bridge := range []string{"left", "right"} {
		steps = append(steps, "-n "+l.hub+" link add "+bridge+" type bridge", "-n "+l.hub+" link set "+
			bridge+" up")
	}
	for i, node := range nodes {
		ns, wire, addr := prefix+node, "to-"+node, fmt.Sprintf("192.0.2.%d", i+1)
		if err := l.namespace(ns); err != nil {
			return err
		}
		l.wires[node], l.hosts[node], l.addrs[node] = wire, ns, addr
		steps = append(steps,
			"-n "+l.hub+" link add "+wire+" type veth peer name eth0 netns "+ns,
			"-n "+l.hub+" link set "+wire+" master left up",
			"-n "+ns+" addr add "+addr+"/24 dev eth0",
			"-n "+ns+" link set eth0 up",
			"-n "+ns+" link set lo up",
		)
	}
	for _, s := range steps {
		if err := ip(strings.Fields(s)...); err != nil {
			return err
		}
	}
	return nil
}

// namespace makes a namespace, which is removed with its links at the end of the test.
func (l *lan) namespace(name string) error {
	if err := ip("netns", "add", name); err != nil {
		return err
	}
	l.tb.Cleanup(func() {
		if err := ip("netns", "del", name); err != nil {
			l.tb.Error(err)
		}
	})
	return nil
}

func (l *lan) start(tb testing.TB, s *spec) (caller, string, error) {
	tb.Helper()
	s.Host, s.Namespace = l.addrs[s.Name], l.hosts[s.Name]
	return startProcess(tb, s)
}

// plug connects nodes to a bridge.
func (l *lan) plug(bridge string, nodes ...string) {
	l.tb.Helper()
	for _, node := range nodes {
		require.NoError(l.tb, ip("-n", l.hub, "link", "set", l.wires[node], "master", bridge))
	}
}

// isolate makes a bridge drop all packets between isolated nodes.
func (l *lan) isolate(state string, nodes ...string) {
	l.tb.Helper()
	for _, node := range nodes {
		require.NoError(l.tb, ip("-n", l.hub, "link", "set", l.wires[node], "type", "bridge_slave",
			"isolated", state))
	}
}

func ip(args ...string) error {
	//nolint:noctx // it ends by itself, and must also run at the end of a test
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// sweep removes namespaces of processes that could not clean up.
func sweep(tb testing.TB) {
	tb.Helper()
	out, err := exec.Command("ip", "netns", "list").Output() //nolint:noctx // it ends by itself
	if err != nil {
		tb.Skipf("skipped: no network namespaces here: %v", err)
	}
	for text := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(text), " ")
		rest, ours := strings.CutPrefix(name, lanPrefix)
		pid, _, _ := strings.Cut(rest, "-")
		if _, err := strconv.Atoi(pid); !ours || err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			if err := ip("netns", "del", name); err != nil {
				tb.Log(err)
			}
		}
	}
}
