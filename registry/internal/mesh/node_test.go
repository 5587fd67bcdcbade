package mesh

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// patience bounds the waits of a test. A passing test does not reach it.
const patience = 40 * time.Second

var identity = Identity{Cluster: "test", Partitions: 16, Resolver: "newest", Protocol: 1}

// A node is a mesh with a handler that records all calls.
type node struct {
	*Mesh
	log *lockedBuffer

	mu       sync.Mutex
	relay    bool // forward updates that are new, as a core does
	events   []string
	frames   []*wire.Frame
	seen     map[string]bool // updates, by origin and number
	rejected []error
	refused  []refusal0
}

type refusal0 struct {
	node, addr string
	err        error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (n *node) Frame(f *wire.Frame, size int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if size <= 0 {
		panic("a frame of no bytes")
	}
	n.frames = append(n.frames, f)
	for _, i := range f.Items {
		u, ok := i.Message.(*replica.Update)
		if !ok {
			continue
		}
		key := fmt.Sprintf("%s/%d/%d", u.Origin, i.Partition, u.UpTo)
		if !n.seen[key] {
			n.seen[key] = true
			if n.relay && n.Mesh != nil {
				n.Relay(i.Partition, u)
			}
		}
	}
}

func (n *node) Rejected(_ string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rejected = append(n.rejected, err)
}

func (n *node) NodeUp(name string, incarnation uint64, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr == "" {
		panic("no address")
	}
	n.events = append(n.events, fmt.Sprintf("up %s %d", name, incarnation))
}

func (n *node) NodeDown(name string, left bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, fmt.Sprintf("down %s %v", name, left))
}

func (n *node) Refused(name, addr string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = append(n.refused, refusal0{name, addr, err})
}

func (n *node) history() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.events)
}

func (n *node) heard(event string) bool { return slices.Contains(n.history(), event) }

func (n *node) refusals0() []refusal0 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.refused)
}

func (n *node) received() []*wire.Frame {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.frames)
}

func (n *node) names() (names []string) {
	for _, m := range n.Members() {
		names = append(names, m.Name)
	}
	return names
}

func config(name string) Config {
	return Config{
		Node: name, BindAddr: "127.0.0.1", Identity: identity, Incarnation: 1,
		GossipAbove: -1, GossipInterval: 10 * time.Millisecond, ProbeInterval: 200 * time.Millisecond,
		ProbeTimeout: 100 * time.Millisecond, SuspicionMult: 3, RejoinInterval: 200 * time.Millisecond,
	}
}

// try opens a node; the test closes it.
func try(t *testing.T, c Config) (*node, error) {
	t.Helper()
	n := &node{log: new(lockedBuffer), seen: make(map[string]bool), relay: true}
	c.Handler = n
	c.Logger = slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m, err := Open(c)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.Mesh = m
	n.mu.Unlock()
	t.Cleanup(func() {
		require.NoError(t, n.Close())
		if t.Failed() {
			t.Logf("log of %s:\n%s", c.Node, n.log)
		}
	})
	return n, nil
}

func open(t *testing.T, c Config) *node {
	t.Helper()
	n, err := try(t, c)
	require.NoError(t, err)
	return n
}

func soon(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, patience, 2*time.Millisecond, what)
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func join(t *testing.T, n *node, seeds ...*node) {
	t.Helper()
	var addrs []string
	for _, s := range seeds {
		addrs = append(addrs, s.Addr())
	}
	answered, err := n.Join(deadline(t), addrs...)
	require.NoError(t, err)
	require.Equal(t, len(seeds), answered)
}

// together waits until all nodes see each other.
func together(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		soon(t, n.cfg.Node+" sees all", func() bool { return len(n.Members()) == len(nodes) })
	}
}

// cluster opens nodes named a, b, c... that know each other.
func cluster(t *testing.T, size int, change func(*Config)) []*node {
	t.Helper()
	var nodes []*node
	for i := range size {
		c := config(string(rune('a' + i)))
		if change != nil {
			change(&c)
		}
		n := open(t, c)
		if i > 0 {
			join(t, n, nodes[0])
		}
		nodes = append(nodes, n)
	}
	together(t, nodes...)
	return nodes
}

func update(origin string, seq uint64, meta int) *replica.Update {
	r := &replica.Record{Name: fmt.Sprintf("name-%d", seq), Node: origin, Seq: seq,
		Meta: make([]byte, meta)}
	r.Time.Nanos = 1
	return &replica.Update{Origin: origin, Incarnation: 1, After: seq - 1, UpTo: seq,
		Records: []*replica.Record{r}}
}
