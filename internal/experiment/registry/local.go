package registry

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
	seen    observation // since it was last asked for
	downs   uint64      // times that another node was taken for down
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
	n.seen.Full = true // what was there when the watch began came without events
	resolver := registry.KeepNewest
	if c.Params.Resolver == "oldest" {
		resolver = registry.KeepOldest
	}
	n.reg, err = registry.Open(wallclock.With(ctx, n.now), registry.Config{
		NodeName: c.Name, Seeds: c.Seeds, Cluster: "cachebench", Partitions: c.Partitions,
		Resolver:  resolver,
		QueueSize: c.Params.Queue, GossipInterval: c.Params.Gossip,
		// as in registry.LAN
		ProbeInterval: c.Params.Probe, ProbeTimeout: c.Params.Probe / 2,
		RejoinInterval: 5 * c.Params.Probe,
		Transport:      l,
	})
	if err != nil {
		// The registry may not have got so far as to own the transport; a second Shutdown does nothing.
		return nil, errors.Join(fmt.Errorf("node %s: %w", c.Name, err), l.Shutdown())
	}
	n.watcher = n.reg.Watch(context.Background(), registry.WatchBuffer(watchBuffer))
	n.watched.Go(n.watch)
	return n, nil
}

// now is the wall clock that the registry is given.
func (n *localNode) now() time.Time {
	n.asked.Store(true)
	return time.Now().Add(time.Duration(n.skew.Load()))
}

// watch notes who holds which name, and when that was seen, until the watcher is closed.
func (n *localNode) watch() {
	for e := range n.watcher.Events() {
		at := time.Now().UnixNano()
		n.mu.Lock()
		switch e.Kind { //nolint:exhaustive // the others change no view
		case registry.Registered:
			n.seen.Changes = append(n.seen.Changes,
				change{Name: e.Name, ID: claimOf(e.Claim.Meta), At: at})
		case registry.Unregistered:
			n.seen.Changes = append(n.seen.Changes, change{Name: e.Name, At: at})
		case registry.NodeDown:
			n.downs++
		case registry.Missed:
			n.seen.Missed += e.Missed
		}
		n.mu.Unlock()
	}
}

func (n *localNode) do(ctx context.Context, r request) (a response, err error) {
	switch r.Op {
	case opRegister:
		a.State, a.Time, err = n.register(ctx, r.Name, r.Claim)
	case opRelease:
		n.mu.Lock()
		g := n.held[r.Claim]
		n.mu.Unlock()
		if g == nil {
			return a, registry.ErrConflict // lost meanwhile, which is reported as such
		}
		err = g.Release()
	case opCut:
		n.network.CutOnly(n.name, r.Addrs...)
	case opSkew:
		if !n.asked.Load() {
			return a, errNoClock
		}
		n.skew.Store(int64(r.Skew))
	case opObserve:
		a.Observation = n.observe()
	case opView:
		a.View = n.view()
	default:
		err = fmt.Errorf("unknown operation %q", r.Op)
	}
	return a, err
}

func (n *localNode) register(
	ctx context.Context, name string, id claimID,
) (state claimState, at registry.Timestamp, err error) {
	// ctx bounds the call. The name is held until it is released.
	g, err := n.reg.RegisterFor(ctx, context.WithoutCancel(ctx), name, id.meta())
	switch {
	case errors.Is(err, registry.ErrTaken):
		return refused, at, nil
	case errors.Is(err, registry.ErrOverloaded):
		return overloaded, at, nil
	case err != nil:
		return failed, at, err
	}
	n.mu.Lock()
	n.held[id] = g
	n.mu.Unlock()
	context.AfterFunc(g.Context(), func() { n.ended(id, context.Cause(g.Context())) })
	return alive, g.Claim().Time, nil
}

// ended notes the end of a registration, which is a loss unless it was released.
func (n *localNode) ended(id claimID, cause error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.held, id)
	if n.closing || errors.Is(cause, registry.ErrReleased) {
		return
	}
	n.seen.Lost = append(n.seen.Lost, loss{ID: id, Conflict: errors.Is(cause, registry.ErrConflict)})
}

func (n *localNode) observe() observation {
	n.mu.Lock()
	o := n.seen
	n.seen = observation{}
	downs := n.downs
	n.mu.Unlock()
	if o.Full = o.Full || o.Missed > 0; o.Full {
		view, at := n.view(), time.Now().UnixNano()
		o.Changes = nil
		for name, id := range view {
			o.Changes = append(o.Changes, change{Name: name, ID: id, At: at})
		}
	}
	o.Count = countOf(n.reg.Stats())
	o.Count.NodesDown = downs
	sent := n.network.TrafficFrom(n.name)
	o.Count.Packets, o.Count.Streams = sent.Packets, sent.Streams
	o.Count.WireBytes = sent.PacketBytes + sent.StreamBytes
	return o
}

func (n *localNode) view() map[string]claimID {
	view := make(map[string]claimID, n.reg.Len())
	for claim := range n.reg.All() {
		view[claim.Name] = claimOf(claim.Meta)
	}
	return view
}

func (n *localNode) kill() error {
	// A process that is killed sends nothing more; here it would.
	n.network.Isolate(n.name)
	return n.close()
}

func (n *localNode) close() error {
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
