package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/mesh"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// A fakeLAN is a network in memory: messages arrive at once, except over links that are cut. It
// starts no goroutine, so a registry over it can be tested in a synctest bubble.
type fakeLAN struct {
	mu    sync.Mutex
	nodes map[string]*fakeNode
	cut   map[[2]string]bool
}

func newLAN() *fakeLAN {
	return &fakeLAN{nodes: make(map[string]*fakeNode), cut: make(map[[2]string]bool)}
}

// A fakeNode is one node's side of the network.
type fakeNode struct {
	lan  *fakeLAN
	name string
	reg  *Registry
	up   map[string]bool // guarded by lan.mu

	mu       sync.Mutex
	jammed   bool // nothing can be sent
	backlog  int  // of gossip, as reported
	direct   int  // updates sent directly to all
	gossiped int
	callers  []func()      // of Soon; the first one sets a timer
	held     chan struct{} // SendAll waits until it is closed; nil: it does not
	waiting  int           // in SendAll, for held

	probes atomic.Int64
}

func (l *fakeLAN) connect(r *Registry) (network, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := &fakeNode{lan: l, name: r.cfg.NodeName, reg: r, up: make(map[string]bool)}
	l.nodes[n.name] = n
	return n, nil
}

// see notifies each of two nodes that the other is up, or down.
func (l *fakeLAN) see(a, b *fakeNode, up, left bool) {
	for _, pair := range [][2]*fakeNode{{a, b}, {b, a}} {
		me, other := pair[0], pair[1]
		if me.up[other.name] == up {
			continue
		}
		me.up[other.name] = up
		if up {
			handler{me.reg}.NodeUp(other.name, other.reg.incarnation, other.Addr())
		} else {
			handler{me.reg}.NodeDown(other.name, left)
		}
	}
}

// split cuts all links between a and b, and notifies both.
func (l *fakeLAN) split(a, b *Registry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	na, nb := l.nodes[a.cfg.NodeName], l.nodes[b.cfg.NodeName]
	l.cut[[2]string{na.name, nb.name}], l.cut[[2]string{nb.name, na.name}] = true, true
	l.see(na, nb, false, false)
}

func (l *fakeLAN) heal(a, b *Registry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.cut)
	l.see(l.nodes[a.cfg.NodeName], l.nodes[b.cfg.NodeName], true, false)
}

func (n *fakeNode) jam(jammed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.jammed = jammed
}

func (n *fakeNode) isJammed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.jammed
}

func (n *fakeNode) Addr() string { return n.name + ":1" }

func (n *fakeNode) Join(_ context.Context, seeds ...string) (int, error) {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	answered := 0
	for _, other := range n.lan.nodes {
		if other != n && slices.Contains(seeds, other.Addr()) {
			answered++
			for _, third := range n.lan.nodes {
				if third == other || other.up[third.name] && third != n {
					n.lan.see(n, third, true, false)
				}
			}
		}
	}
	if answered == 0 {
		return 0, errors.New("nobody there")
	}
	return answered, nil
}

func (n *fakeNode) Members() []mesh.Member {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	members := []mesh.Member{{Name: n.name, Addr: n.Addr()}}
	for name, up := range n.up {
		if up {
			members = append(members, mesh.Member{Name: name, Addr: n.lan.nodes[name].Addr()})
		}
	}
	return members
}

func (n *fakeNode) Leave(context.Context) error {
	n.gone(true)
	return nil
}

func (n *fakeNode) Close() error {
	n.gone(false)
	return nil
}

func (n *fakeNode) gone(left bool) {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	for _, other := range n.lan.nodes {
		if other != n && other.up[n.name] {
			n.lan.see(n, other, false, left)
		}
	}
	delete(n.lan.nodes, n.name)
}

func (n *fakeNode) deliver(to string, partition int, m replica.Message) {
	n.lan.mu.Lock()
	other := n.lan.nodes[to]
	cut := n.lan.cut[[2]string{n.name, to}]
	n.lan.mu.Unlock()
	if other == nil || cut {
		return
	}
	f := &wire.Frame{From: n.name, Incarnation: n.reg.incarnation, Sent: n.reg.wall(),
		Items: []wire.Item{{Partition: partition, Message: m}}}
	handler{other.reg}.Frame(f, f.Size())
}

func (n *fakeNode) all() []string {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	return slices.Sorted(maps.Keys(n.up))
}

// fakeWindow is the delay of Soon.
const fakeWindow = 2 * time.Millisecond

func (n *fakeNode) Soon(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.callers = append(n.callers, f)
	if len(n.callers) == 1 {
		time.AfterFunc(fakeWindow, func() {
			n.mu.Lock()
			callers := n.callers
			n.callers = nil
			n.mu.Unlock()
			for _, f := range callers {
				f()
			}
		})
	}
}

func (n *fakeNode) Broadcast(partition int, u *replica.Update) bool {
	if n.isJammed() {
		return false
	}
	n.mu.Lock()
	n.gossiped++
	n.mu.Unlock()
	for _, to := range n.all() {
		n.deliver(to, partition, u)
	}
	return true
}

func (n *fakeNode) Relay(partition int, u *replica.Update) { n.Broadcast(partition, u) }

func (n *fakeNode) Backlog() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.backlog
}

func (n *fakeNode) SendAll(ctx context.Context, partition int, m replica.Message) []string {
	n.wait()
	if n.isJammed() {
		<-ctx.Done()
		return n.all()
	}
	n.mu.Lock()
	n.direct++
	n.mu.Unlock()
	for _, to := range n.all() {
		n.deliver(to, partition, m)
	}
	return nil
}

func (n *fakeNode) Send(to string, partition int, m replica.Message) bool {
	if n.isJammed() {
		return false
	}
	n.deliver(to, partition, m)
	return true
}

// hold blocks SendAll until the test calls letGo, even if the caller's context ends. Changes stay
// in the queue meanwhile.
func (n *fakeNode) hold() (letGo func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held := make(chan struct{})
	n.held, n.jammed = held, true
	return sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.held = nil
		close(held)
	})
}

func (n *fakeNode) wait() {
	n.mu.Lock()
	held := n.held
	if held != nil {
		n.waiting++
	}
	n.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-n.reg.life.Done():
		}
		n.mu.Lock()
		n.waiting--
		n.mu.Unlock()
	}
}

func (n *fakeNode) Probe(to string, partition int, m replica.Message) bool {
	n.probes.Add(1)
	return n.Send(to, partition, m)
}

func (n *fakeNode) InstallKey([]byte) error { return nil }
func (n *fakeNode) UseKey([]byte) error     { return nil }
func (n *fakeNode) RemoveKey([]byte) error  { return nil }
func (n *fakeNode) Keys() [][]byte          { return nil }
func (n *fakeNode) Stats() NetworkStats     { return NetworkStats{} }

// open opens a registry on the LAN that knows all the others there.
func (l *fakeLAN) open(tb testing.TB, name string, change ...func(*Config)) (*Registry, *fakeNode) {
	tb.Helper()
	c := Config{NodeName: name, Partitions: 4}
	l.mu.Lock()
	for other := range l.nodes {
		c.Seeds = append(c.Seeds, other+":1")
	}
	l.mu.Unlock()
	for _, f := range change {
		f(&c)
	}
	r, err := open(tb.Context(), c, l.connect)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, r.Close()) })
	return r, l.nodes[name]
}

// bubble runs a test in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
