package cluster

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// turns bounds the loads in place of owners: MaxLocalLoads at a time.
type turns struct {
	*semaphore.Weighted
	active atomic.Int64 // turns that were not released, with those that are lent
}

// take returns a turn that the caller has acquired.
func (s *turns) take() *turn {
	s.active.Add(1)
	return &turn{of: s, held: true}
}

// A turn lets one load in place of an owner run. While the load waits for other keys it lends the
// turn: their loads may need it, and would wait for this one otherwise.
type turn struct {
	of *turns

	mu      sync.Mutex // guards what follows
	held    bool
	over    bool // release was called
	waiting int  // calls by the load that wait for other keys
}

type turnKey struct{}

// with returns ctx for the load that has p.
func (p *turn) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, turnKey{}, p)
}

// release ends p. It may be called more than once.
func (p *turn) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.over = true
		p.of.active.Add(-1)
	}
	p.giveBack()
}

// giveBack lets another load have the turn, if p holds it. mu is held.
func (p *turn) giveBack() {
	if p.held {
		p.held = false
		p.of.Release(1)
	}
}

// lendTurn lends the turn of the load in ctx, if it has one, until reclaim is called. reclaim waits
// for a turn, for as long as ctx lives.
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

// wants reports whether the load runs without its turn. mu is held.
func (p *turn) wants() bool { return p.waiting == 0 && !p.held && !p.over }
