package registry

import (
	"context"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A wait is what all callers of WaitFor for one name share.
type wait struct {
	done    chan struct{}
	claim   Claim // set before done is closed
	waiters int
}

// WaitFor blocks until somebody holds name, as this node sees it, and returns the claim, which may be outdated
// by the time that the caller looks at it. It fails with the cause of ctx, with [ErrClosed], or with
// a [*NameError].
func (r *Registry) WaitFor(ctx context.Context, name string) (Claim, error) {
	if err := checkName(name); err != nil {
		return Claim{}, err
	}
	if c, ok := r.Lookup(name); ok {
		return c, nil
	}
	p := r.part(name)
	p.mu.Lock()
	if winner := p.core.Lookup(name); winner != nil {
		p.mu.Unlock()
		return claimOf(winner), nil
	}
	w := p.waits[name]
	if w == nil {
		w = &wait{done: make(chan struct{})}
		p.waits[name] = w
	}
	w.waiters++
	p.mu.Unlock()

	var err error
	select {
	case <-w.done:
		return w.claim, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-r.life.Done():
		err = ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.waiters--
	if w.waiters == 0 && p.waits[name] == w {
		delete(p.waits, name)
	}
	return Claim{}, err
}

// announce tells those who wait for a name that it is held. The caller holds mu.
func (p *part) announce(name string, winner *replica.Record) {
	if w := p.waits[name]; w != nil {
		w.claim = claimOf(winner)
		close(w.done)
		delete(p.waits, name)
	}
}
