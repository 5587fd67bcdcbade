package cluster

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// places are those of MaxLocalLoads.
type turns struct {
	*semaphore.Weighted
	taken atomic.Int64 // places that were not released, lent ones too
}

// take returns a place that was acquired.
func (s *turns) take() *turn {
	s.taken.Add(1)
	return &turn{of: s, held: true}
}

// A place is one of MaxLocalLoads. A load that has it lends it while it waits for other keys: their
// loads may need it, and would wait for this one otherwise.
type turn struct {
	of *turns

	mu      sync.Mutex // guards what follows
	held    bool
	over    bool // it was released
	waiting int  // calls in the load that wait for other keys
}

type turnKey struct{}

// with returns ctx for a load that has p.
func (p *turn) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, turnKey{}, p)
}

// release gives p up for good. It may be called more than once.
func (p *turn) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.over = true
		p.of.taken.Add(-1)
	}
	p.giveBack()
}

// giveBack gives p back if it is held. mu is held.
func (p *turn) giveBack() {
	if p.held {
		p.held = false
		p.of.Release(1)
	}
}

// lendPlace lends the place of the load in ctx, if any, until reclaim is called. That waits for
// one, for as long as ctx does.
func lendTurn(ctx context.Context) (reclaim func()) {
	p, ok := ctx.Value(turnKey{}).(*turn)
	if !ok {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
	p.giveBack()
	return func() { p.reclaim(ctx) }
}

func (p *turn) reclaim(ctx context.Context) {
	p.mu.Lock()
	p.waiting--
	wants := p.wants()
	p.mu.Unlock()
	if !wants || p.of.Acquire(ctx, 1) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wants() {
		p.held = true
	} else {
		p.of.Release(1)
	}
}

// wants reports whether the load runs without its place. mu is held.
func (p *turn) wants() bool { return p.waiting == 0 && !p.held && !p.over }
