package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Run waits until name is free, holds it while f runs, and returns what f returned. It is for work
// that one node of the cluster does at a time: a scheduler, a consumer, the leader of something. f
// runs in the caller's goroutine.
//
// f's context ends when ctx ends, and when the name is lost: with a [*ConflictError] as its cause
// if another node's claim was preferred, a [*SilentError] if f hangs (see
// [Registration.RequireAlive]), or [ErrClosed]. f must return then; until it has, its successor on
// another node runs at the same time. The context carries the registration, see
// [RegistrationFromContext].
//
//   - If f returns while it holds the name, or has released it, Run returns f's error, nil
//     included.
//   - If ctx ends, Run releases the name only once f has returned, so that f can finish before
//     another node begins. If f does not run, Run returns the cause of ctx at once.
//   - If the name is lost by conflict or silence, Run waits for f to return, ignores its error,
//     waits until the name is free, and runs f again.
//   - If the registry closes or leaves, Run returns [ErrClosed], with f's error if there is one. To
//     let no other node begin before f has ended, end ctx and wait for Run before [Registry.Leave].
//   - If f panics or calls [runtime.Goexit], the name is released, and the panic goes on.
//
// Run fails as [Registry.RegisterFor] does, but waits where that fails with [ErrTaken] or
// [ErrSyncing]. It fails with a [*TakenError] if it is called inside a function that holds the same
// name, where it would wait for itself.
//
// Run does not poll: news of the name wake it. So that not all waiting nodes register a name at the
// moment that it becomes free, they take turns, in an order that differs from name to name. Their
// turns are one [Config].GossipInterval apart, or two in clusters above [Config].GossipAbove, but
// ten seconds at most from the first to the last. A name that is free when Run is called is
// registered at once, except in the first ten seconds of a registry, as other nodes may have
// started at the same moment.
//
// Run does not promise that f runs nowhere else at the same time. Both sides of a split network run
// it until they meet again, and a function whose context ends needs time to stop. If that must not
// matter, fence it: let the store that f writes to refuse writes with an older [Claim.Token] than
// it has seen.
func (r *Registry) Run(
	ctx context.Context, name string, meta []byte, f func(context.Context) error,
) error {
	if err := cmp.Or(checkName(name), r.checkMeta(name, meta), r.holdsAlready(ctx, name)); err != nil {
		return err
	}
	turn := time.Since(r.started) < youth
	for {
		g, err := r.acquire(ctx, name, meta, turn)
		if err != nil {
			return err
		}
		lost, err := g.hold(ctx, f)
		switch {
		case errors.Is(lost, ErrClosed):
			switch {
			case errors.Is(err, ErrClosed): // f has returned the cause of its context
				return err
			case err != nil:
				return fmt.Errorf("%w: %w", ErrClosed, err)
			}
			return ErrClosed
		case lost == nil:
			return err
		}
		r.log.Info("a name was lost, and is waited for again",
			"name", quote(name), "cause", lost, "error", err)
		turn = true
	}
}

// hold runs f while the registration lasts, and releases it. lost is the cause with which the
// registration ended before f returned; nil if it did not, or was released.
func (g *Registration) hold(ctx context.Context, f func(context.Context) error) (lost, err error) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(ErrReleased)
	stop := context.AfterFunc(g.ctx, func() { cancel(context.Cause(g.ctx)) })
	defer stop()
	defer func() { lost = g.Release() }() // also if f panics
	return nil, f(holderContext{work, g})
}

// acquire registers name once it is free. It waits for this node's turn each time that the name
// becomes free, the first time only if turn is true.
func (r *Registry) acquire(
	ctx context.Context, name string, meta []byte, turn bool,
) (*Registration, error) {
	life := context.WithoutCancel(ctx) // Run ends it, after f
	for {
		if turn {
			if err := r.awaitTurn(ctx, name); err != nil {
				return nil, err
			}
		}
		g, err := r.RegisterFor(ctx, life, name, meta)
		switch {
		case !errors.Is(err, ErrTaken) && !errors.Is(err, ErrSyncing):
			return g, err
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		turn = true
	}
}

// holdsAlready returns a TakenError if ctx lives under a registration of name.
func (r *Registry) holdsAlready(ctx context.Context, name string) error {
	p := r.part(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.regs[name]; g != nil && g.heldBy(ctx) {
		return &TakenError{Name: name, Holder: claimOf(p.core.Own(name))}
	}
	return nil
}

const (
	youth    = 10 * time.Second // of a registry; other nodes may have started at the same moment
	lastTurn = 10 * time.Second // until the last node of a large cluster has its turn
)

// awaitTurn waits until the name is free and this node's turn has come.
func (r *Registry) awaitTurn(ctx context.Context, name string) error {
	if _, err := r.part(name).waitFor(ctx, awaited{name, true}, r.closing); err != nil {
		return err
	}
	wait := r.turn(name)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-r.closing:
		return ErrClosed
	}
}

// turn returns how long this node waits before it registers a name that became free; 0 in a cluster
// of one. Between two turns news reach all nodes, or most of a large cluster, so that later nodes
// find the name taken. The jitter is for nodes that see different members, and have the same turn.
func (r *Registry) turn(name string) time.Duration {
	rank, nodes := r.peers.rank(r.cfg.NodeName, name)
	if nodes == 1 {
		return 0
	}
	apart := r.cfg.GossipInterval
	if nodes > r.cfg.GossipAbove {
		apart *= 2
	}
	apart = max(min(apart, lastTurn/time.Duration(nodes)), 4)
	return time.Duration(rank)*apart + rand.N(apart/4)
}

// rank returns the rank of a node among all nodes for a name, and the number of nodes. All nodes
// that see the same members agree on the ranks, and the ranks for different names are independent.
func (p *peers) rank(self, name string) (rank, nodes int) {
	var d xxhash.Digest
	hash := func(node string) uint64 {
		d.Reset()
		_, _ = d.WriteString(name) // never fails
		_, _ = d.WriteString(node)
		return d.Sum64()
	}
	own := hash(self)
	p.mu.Lock()
	defer p.mu.Unlock()
	for node := range p.names {
		if hash(node) < own {
			rank++
		}
	}
	return rank, len(p.names) + 1
}
