package registry

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/snowfence/snowfence/registry/internal/hlc"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/shared"
)

// groups holds the partitions of the second space of names, that of package group. They are made
// when they are first needed.
type groups struct {
	parts atomic.Pointer[[]*part] // nil: asleep. Written under mu

	mu     sync.Mutex // guards the fields below; taken before the locks of peers, parts and inboxes
	ready  bool       // the network is there
	closed bool       // they can't be woken any more
	client shared.Client
}

// awake returns the partitions, none if they sleep.
func (g *groups) awake() []*part {
	if parts := g.parts.Load(); parts != nil {
		return *parts
	}
	return nil
}

// wakeGroups returns the partitions of the second space, and starts them if they sleep.
func (r *Registry) wakeGroups() ([]*part, error) {
	if parts := r.groups.awake(); parts != nil {
		return parts, nil
	}
	g := &r.groups
	g.mu.Lock()
	defer g.mu.Unlock()
	if parts := g.awake(); parts != nil {
		return parts, nil
	}
	if g.closed {
		return nil, ErrClosed
	}
	parts := make([]*part, r.cfg.Partitions)
	for i := range parts {
		parts[i] = newPart(r, r.cfg.Partitions+i, rand.Uint64())
	}
	for node, incarnation := range r.peers.all() {
		for _, p := range parts {
			p.inbox.node(node, nodeUp, incarnation)
		}
	}
	g.parts.Store(&parts)
	if g.ready {
		r.run(parts)
	}
	return parts, nil
}

// runGroups starts the partitions that a message woke before the network was there.
func (r *Registry) runGroups() {
	g := &r.groups
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ready = true
	r.run(g.awake())
}

// notifyGroups passes news of a node to the groups. The caller has changed peers before, so that
// wakeGroups, at the same moment, either sees the change there or has finished.
func (r *Registry) notifyGroups(node string, news nodeNews, incarnation uint64) {
	g := &r.groups
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.awake() {
		p.inbox.node(node, news, incarnation)
	}
}

// retireGroups withdraws all claims of this node and accepts no more.
func (r *Registry) retireGroups() {
	g := &r.groups
	g.mu.Lock()
	g.closed = true
	client := g.client
	g.mu.Unlock()
	for _, p := range g.awake() {
		p.mu.Lock()
		p.closed = true
		at := r.now()
		for _, own := range p.owned() {
			p.core.Unregister(at, own.Name, replica.WhyClosed)
		}
		e := p.takeEffects()
		p.mu.Unlock()
		p.act(e)
	}
	if client != nil {
		client.Retire()
	}
}

// closeGroups closes the client.
func (r *Registry) closeGroups() {
	r.groups.mu.Lock()
	client := r.groups.client
	r.groups.mu.Unlock()
	if client != nil {
		client.Close()
	}
}

// owned returns this node's claims. The caller holds mu.
func (p *part) owned() []*replica.Record {
	var own []*replica.Record
	p.core.OwnNames(func(r *replica.Record) bool {
		own = append(own, r)
		return true
	})
	return own
}

// serve notifies a client of all claims, and from now on of each change.
func (p *part) serve(c shared.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = c
	for name := range p.winners.All() {
		for _, claim := range p.core.Claims(name) {
			c.Changed(claim)
		}
	}
}

// OpenGroups is for package group: programs call group.Open, as the types here are internal. It
// wakes the second space of names and returns its client. The first call makes the client by start,
// which gets the space and a function that returns the counts of its partitions, and notifies it of
// all claims that are known already. OpenGroups waits, as [Open] does, until this node has what the
// others have.
func (r *Registry) OpenGroups(
	ctx context.Context, start func(shared.Space, func() []PartitionStats) shared.Client,
) (shared.Client, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	parts, err := r.wakeGroups()
	if err != nil {
		return nil, err
	}
	client, err := r.serveGroups(space{r, parts}, start)
	if err != nil {
		return nil, err
	}
	return client, r.awaitSync(ctx, parts)
}

// serveGroups returns the client of the second space, and makes it if there is none yet.
func (r *Registry) serveGroups(
	s space, start func(shared.Space, func() []PartitionStats) shared.Client,
) (shared.Client, error) {
	g := &r.groups
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, ErrClosed
	}
	if g.client == nil {
		g.client = start(s, s.stats)
		for _, p := range s.shared {
			p.serve(g.client)
		}
	}
	return g.client, nil
}

// A space is the second space of names as package group sees it.
type space struct {
	*Registry
	shared []*part
}

func (s space) Node() string       { return s.cfg.NodeName }
func (s space) Log() *slog.Logger  { return s.log }
func (s space) Now() hlc.Timestamp { return s.clock.Now(s.wall()) }

func (s space) CheckMeta(name string, meta []byte) error { return s.checkMeta(name, meta) }

func (s space) part(name string) *part { return s.shared[s.places.Of(name)] }

func (s space) Edit(ctx context.Context, name string, edit func([]byte) ([]byte, error)) error {
	if err := checkName(name); err != nil {
		return err
	}
	p := s.part(name)
	var meta []byte
	err := p.withRoom(ctx, name, func(replica.At) (err error) {
		var was []byte
		if own := p.core.Own(name); own != nil {
			was = own.Meta
		}
		meta, err = edit(was)
		return err
	}, func(at replica.At) {
		if p.core.Update(at, name, meta) == nil {
			p.core.Register(at, name, meta)
		}
	})
	var full *OverloadedError
	if errors.As(err, &full) {
		full.Partition -= len(s.parts)
	}
	return err
}

func (s space) Shrink(name string, why replica.Why, edit func([]byte) ([]byte, bool)) {
	p := s.part(name)
	p.step(func(at replica.At) {
		own := p.core.Own(name)
		if own == nil {
			return
		}
		meta, changed := edit(own.Meta)
		switch {
		case !changed:
		case len(meta) == 0:
			p.core.Unregister(at, name, why)
		default:
			p.core.Update(at, name, meta)
		}
	})
}

// stats returns the counts of the partitions. Registrations are the groups with members on this
// node.
func (s space) stats() []PartitionStats {
	all := make([]PartitionStats, len(s.shared))
	for i, p := range s.shared {
		all[i] = p.statistics()
		p.mu.Lock()
		all[i].Registrations = len(p.owned())
		p.mu.Unlock()
	}
	return all
}
