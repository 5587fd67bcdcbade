package registry

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/snowfence/snowfence/registry/internal/wire"
)

// A handler passes what the network reports to the registry. None of its methods waits. The network
// itself logs what happens to nodes.
type handler struct{ r *Registry }

// Frame passes the messages of a frame to their partitions.
func (h handler) Frame(f *wire.Frame, _ int) {
	r := h.r
	if r.clock.Heard(f.From, f.Sent, r.wall()) {
		ahead := r.clock.Stats().Ahead
		r.log.Warn("the clock of this node is too far ahead of the others'; its timestamps are held back",
			"tolerated", r.cfg.MaxClockSkew, "beyond that", ahead)
		r.hub.Publish(Event{Kind: ClockAhead, Node: r.cfg.NodeName})
		for _, p := range slices.Concat(r.parts, r.groups.awake()) {
			p.inbox.node("", clockAhead, 0)
		}
	}
	for _, it := range f.Items {
		if space := it.Partition - 2*len(r.parts); space == 0 || space == 1 {
			r.ask(f.From, space, it.Message)
			continue
		}
		p := r.partAt(it.Partition)
		if p == nil {
			r.rejected.Add(1)
			continue
		}
		if p.agrees(it.Message) {
			p.inbox.agree(it.Size())
			continue
		}
		p.inbox.message(f.From, it.Message, it.Size())
	}
}

// Rejected counts bytes that were no frame.
func (h handler) Rejected(string, error) { h.r.rejected.Add(1) }

// NodeUp notes that a node is part of the cluster, or started anew.
func (h handler) NodeUp(node string, incarnation uint64, addr string) {
	r := h.r
	if node == r.cfg.NodeName {
		return
	}
	r.peers.add(node, incarnation)
	r.hub.Publish(Event{Kind: NodeUp, Node: node, Addr: addr})
	for _, p := range r.parts {
		p.inbox.node(node, nodeUp, incarnation)
	}
	r.notifyGroups(node, nodeUp, incarnation)
}

// NodeDown notes that a node is gone.
func (h handler) NodeDown(node string, left bool) {
	r := h.r
	if node == r.cfg.NodeName {
		return
	}
	news, reason := nodeDown, ReasonNodeDown
	if left {
		news, reason = nodeLeft, ReasonNodeLeft
	}
	r.peers.remove(node)
	r.clock.Forget(node)
	r.hub.Publish(Event{Kind: NodeDown, Node: node, Reason: reason})
	for _, p := range r.parts {
		p.inbox.node(node, news, 0)
	}
	r.notifyGroups(node, news, 0)
}

// Refused publishes that a node was kept out.
func (h handler) Refused(node, addr string, err error) {
	h.r.hub.Publish(Event{Kind: NodeRefused, Node: node, Addr: addr, Err: err})
}

// peers holds the other nodes that are up.
type peers struct {
	count atomic.Int32 // the size of names, to be read without the lock

	mu    sync.Mutex        // guards names; a leaf
	names map[string]uint64 // their incarnations
}

// all returns a copy of the incarnations, by name.
func (p *peers) all() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.names)
}

func (p *peers) add(node string, incarnation uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names == nil {
		p.names = make(map[string]uint64)
	}
	p.names[node] = incarnation
	p.count.Store(int32(len(p.names))) //nolint:gosec // not that many
}

func (p *peers) remove(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.names, node)
	p.count.Store(int32(len(p.names))) //nolint:gosec // not that many
}
