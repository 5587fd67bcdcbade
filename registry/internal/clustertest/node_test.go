package clustertest

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

// A caller gives access to a node, in this process or another.
type caller interface {
	call(*request) (*reply, error)
	kill() error     // without notifying the others
	exit() error     // it closes
	ended() []ending // the registrations that ended so far
}

// A starter opens a node and returns its address.
type starter func(testing.TB, *spec) (caller, string, error)

// errDuplicate is the error of a starter if the node's name is taken.
var errDuplicate = errors.New("duplicate name")

// A node is a member of a cluster under test. Its methods end the test if they fail.
type node struct {
	caller
	tb   testing.TB
	spec spec
	addr string
}

func (n *node) ask(q *request) *reply {
	n.tb.Helper()
	r, err := n.call(q)
	require.NoError(n.tb, err, "node %s: %s", n.spec.Name, q.Op)
	return r
}

// register registers names and returns the errors, "" for none.
func (n *node) register(meta []byte, names ...string) []string {
	n.tb.Helper()
	return n.ask(&request{Op: "register", Names: asBytes(names), Meta: meta}).Errors
}

func (n *node) release(names ...string) {
	n.tb.Helper()
	for i, e := range n.ask(&request{Op: "release", Names: asBytes(names)}).Errors {
		require.Empty(n.tb, e, "%s releases %q", n.spec.Name, names[i])
	}
}

// holders returns the holder of each name, as the node sees it.
func (n *node) holders() map[string]string {
	n.tb.Helper()
	m := make(map[string]string)
	for _, c := range n.ask(&request{Op: "claims"}).Claims {
		m[string(c.Name)] = c.Node
	}
	return m
}

// held returns the names that are registered on the node itself, by holders whose context has not
// ended.
func (n *node) held() map[string]bool {
	n.tb.Helper()
	m := make(map[string]bool)
	for _, name := range n.ask(&request{Op: "held"}).Names {
		m[string(name)] = true
	}
	return m
}

func (n *node) members() []string {
	n.tb.Helper()
	return n.ask(&request{Op: "members"}).Members
}

func (n *node) tally() map[string]int {
	n.tb.Helper()
	return n.ask(&request{Op: "tally"}).Tally
}

func (n *node) stats() *registry.Stats {
	n.tb.Helper()
	return n.ask(&request{Op: "stats"}).Stats
}

func (n *node) port() int {
	n.tb.Helper()
	_, text, err := net.SplitHostPort(n.addr)
	require.NoError(n.tb, err)
	port, err := strconv.Atoi(text)
	require.NoError(n.tb, err)
	return port
}

// conflicts returns the winners of the conflicts that registrations of the node lost, by name.
func (n *node) conflicts() map[string]string {
	m := make(map[string]string)
	for _, e := range n.ended() {
		if e.Conflict {
			m[string(e.Name)] = e.Winner
		}
	}
	return m
}

// toldOf waits until count contexts on the node have ended by a lost conflict, and returns the
// result of conflicts.
func (n *node) toldOf(count int) (got map[string]string) {
	n.tb.Helper()
	waitUntil(n.tb, "every loser on "+n.spec.Name+" is told", func() string {
		if got = n.conflicts(); len(got) < count {
			return fmt.Sprintf("%d of %d", len(got), count)
		}
		return ""
	})
	return got
}

func asBytes(names []string) [][]byte {
	var list [][]byte
	for _, name := range names {
		list = append(list, []byte(name))
	}
	return list
}

// endings collects registrations that ended.
type endings struct {
	mu   sync.Mutex // guards list
	list []ending
}

func (e *endings) add(x ending) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, x)
}

func (e *endings) ended() []ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list[:len(e.list):len(e.list)]
}
