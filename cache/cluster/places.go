package cluster

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// places are those of MaxLocalLoads.
type places struct {
	*semaphore.Weighted
	taken atomic.Int64 // places that were not released, lent ones too
}

// take returns a place that was acquired.
func (s *places) take() *place {
	s.taken.Add(1)
	return &place{of: s, held: true}
}

// A place is one of MaxLocalLoads. A load that has it lends it while it waits for other keys: their
// loads may need it, and would wait for this one otherwise.
type place struct {
	of *places

	mu      sync.Mutex // guards what follows
	held    bool
	over    bool // it was released
	waiting int  // calls in the load that wait for other keys
}

type placeKey struct{}

// with returns ctx for a load that has p.
func (p *place) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, placeKey{}, p)
}

// release gives p up for good. It may be called more than once.
func (p *place) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.over = true
		p.of.taken.Add(-1)
	}
	p.giveBack()
}

// giveBack gives p back if it is held. mu is held.
func (p *place) giveBack() {
	if p.held {
		p.held = false
		p.of.Release(1)
	}
}

// lendPlace lends the place of the load in ctx, if any, until reclaim is called. That waits for
// one, for as long as ctx does.
func lendPlace(ctx context.Context) (reclaim func()) {
	p, ok := ctx.Value(placeKey{}).(*place)
	if !ok {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
	p.giveBack()
	return func() { p.reclaim(ctx) }
}

func (p *place) reclaim(ctx context.Context) {
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
func (p *place) wants() bool { return p.waiting == 0 && !p.held && !p.over }
