package clusterload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
	"github.com/snowfence/snowfence/internal/wallclock"
	"github.com/snowfence/snowfence/registry"
)

// watchBuffer holds what a healing split lets loose at once.
const watchBuffer = 1 << 18

// A localNode is a node in this process.
type localNode struct {
	name    string
	reg     *registry.Registry
	network *cutnet.Network // this node's own
	watcher *registry.Watcher
	watched sync.WaitGroup
	skew    atomic.Int64 // by which the wall clock is ahead, in nanoseconds
	asked   atomic.Bool  // the registry takes the time from our wall clock

	mu      sync.Mutex // guards all below
	held    map[claimID]*registry.Registration
	changes []change
	lost    []loss
	missed  uint64
	downs   uint64 // times that another node was taken for down
	whole   bool   // the view as a whole was reported once
	closing bool
}

// openLocal starts a node and joins the cluster.
func openLocal(ctx context.Context, c nodeConfig) (*localNode, error) {
	n := &localNode{name: c.Name, network: cutnet.New(0),
		held: make(map[claimID]*registry.Registration)}
	l, err := n.network.Listen(c.Name, "127.0.0.1", c.Port)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c.Name, err)
	}
	n.reg, err = registry.Open(wallclock.With(ctx, n.now), n.config(c, l))
	if err != nil {
		// The registry may not have got so far as to own the transport; a second Shutdown does nothing.
		return nil, errors.Join(fmt.Errorf("node %s: %w", c.Name, err), l.Shutdown())
	}
	n.watcher = n.reg.Watch(context.Background(), registry.WatchBuffer(watchBuffer))
	n.watched.Go(n.watch)
	return n, nil
}

func (n *localNode) config(c nodeConfig, l *cutnet.Transport) registry.Config {
	resolver := registry.KeepNewest
	if c.Oldest {
		resolver = registry.KeepOldest
	}
	return registry.Config{
		NodeName: c.Name, Seeds: c.Seeds, Cluster: "cachebench", Partitions: c.Partitions,
		Resolver:  resolver,
		QueueSize: c.Queue, GossipInterval: c.Gossip,
		// as in registry.LAN
		ProbeInterval: c.Probe, ProbeTimeout: c.Probe / 2, RejoinInterval: 5 * c.Probe,
		Transport: l,
	}
}

// watch notes who holds which name, and when that was seen, until the watcher is closed.
func (n *localNode) watch() {
	for e := range n.watcher.Events() {
		at := time.Now().UnixNano()
		n.mu.Lock()
		switch e.Kind { //nolint:exhaustive // the others change no view
		case registry.Registered:
			n.changes = append(n.changes, change{Name: e.Name, ID: claimOf(e.Claim.Meta), At: at})
		case registry.Unregistered:
			n.changes = append(n.changes, change{Name: e.Name, At: at})
		case registry.NodeDown:
			n.downs++
		case registry.Missed:
			n.missed += e.Missed
		}
		n.mu.Unlock()
	}
}

func (n *localNode) Addr() string { return n.reg.Addr() }

func (n *localNode) Register(
	ctx context.Context, name string, id claimID,
) (registry.Timestamp, error) {
	// ctx bounds the call. The name is held until it is released.
	g, err := n.reg.RegisterFor(ctx, context.WithoutCancel(ctx), name, id.meta())
	switch {
	case errors.Is(err, registry.ErrTaken):
		return registry.Timestamp{}, errTaken
	case errors.Is(err, registry.ErrOverloaded):
		return registry.Timestamp{}, errOverloaded
	case err != nil:
		return registry.Timestamp{}, err
	}
	at := g.Claim().Time
	n.mu.Lock()
	n.held[id] = g
	n.mu.Unlock()
	context.AfterFunc(g.Context(), func() { n.ended(id, context.Cause(g.Context())) })
	return at, nil
}

// ended notes a registration that was lost.
func (n *localNode) ended(id claimID, cause error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.held, id)
	if n.closing || errors.Is(cause, registry.ErrReleased) {
		return
	}
	n.lost = append(n.lost, loss{ID: id, Conflict: errors.Is(cause, registry.ErrConflict),
		Why: cause.Error()})
}

func (n *localNode) Release(_ context.Context, id claimID) error {
	n.mu.Lock()
	g := n.held[id]
	n.mu.Unlock()
	if g == nil {
		return registry.ErrConflict // lost meanwhile, which is reported as such
	}
	return g.Release()
}

func (n *localNode) Cut(_ context.Context, addrs []string) error {
	n.network.CutOnly(n.name, addrs...)
	return nil
}

func (n *localNode) Skew(_ context.Context, d time.Duration) error {
	if !n.asked.Load() {
		return errNoClock
	}
	n.skew.Store(int64(d))
	return nil
}

// now is the wall clock that the registry is given.
func (n *localNode) now() time.Time {
	n.asked.Store(true)
	return time.Now().Add(time.Duration(n.skew.Load()))
}

func (n *localNode) Observe(ctx context.Context) (observation, error) {
	n.mu.Lock()
	o := observation{Changes: n.changes, Lost: n.lost, Missed: n.missed}
	n.changes, n.lost, n.missed = nil, nil, 0
	downs := n.downs
	o.Full = o.Missed > 0 || !n.whole // what was there when the watch began came without events
	n.whole = true
	n.mu.Unlock()
	if o.Full {
		view, err := n.View(ctx)
		if err != nil {
			return o, err
		}
		at := time.Now().UnixNano()
		o.Changes = o.Changes[:0]
		for name, id := range view {
			o.Changes = append(o.Changes, change{Name: name, ID: id, At: at})
		}
	}
	o.Count = countOf(n.reg.Stats())
	o.Count.NodesDown = downs
	sent := n.network.TrafficFrom(n.name)
	o.Count.Packets, o.Count.Streams = sent.Packets, sent.Streams
	o.Count.WireBytes = sent.PacketBytes + sent.StreamBytes
	return o, nil
}

func (n *localNode) View(context.Context) (map[string]claimID, error) {
	view := make(map[string]claimID, n.reg.Len())
	for claim := range n.reg.All() {
		view[claim.Name] = claimOf(claim.Meta)
	}
	return view, nil
}

func (n *localNode) Kill() error {
	// A process that is killed says nothing more; here it would.
	n.network.Isolate(n.name)
	return n.Close()
}

func (n *localNode) Close() error {
	n.mu.Lock()
	n.closing = true
	n.mu.Unlock()
	err := n.reg.Close()
	n.watcher.Close()
	n.watched.Wait()
	return err
}

// portOf returns the port of an address.
func portOf(addr string) (int, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
