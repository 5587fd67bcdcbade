package registry

import (
	"context"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// An awaited is an event that callers wait for: a name is held or, if free is set, it is free.
type awaited struct {
	name string
	free bool
}

// A wait is shared by all callers that wait for the same event.
type wait struct {
	done    chan struct{}
	claim   Claim // set before done is closed
	waiters int
}

// WaitFor blocks until this node sees a holder of name, and returns the claim, which may be
// outdated by the time that the caller looks at it. It fails with the cause of ctx, with
// [ErrClosed], or with a [*NameError].
func (r *Registry) WaitFor(ctx context.Context, name string) (Claim, error) {
	if err := checkName(name); err != nil {
		return Claim{}, err
	}
	if c, ok := r.Lookup(name); ok {
		return c, nil
	}
	return r.part(name).waitFor(ctx, awaited{name, false}, r.life.Done())
}

// waitFor blocks until a has happened, and returns the claim that holds the name then, if any. It
// fails with the cause of ctx, or with ErrClosed once closed is closed.
func (p *part) waitFor(ctx context.Context, a awaited, closed <-chan struct{}) (Claim, error) {
	p.mu.Lock()
	if winner := p.core.Lookup(a.name); (winner == nil) == a.free {
		p.mu.Unlock()
		return claimOf(winner), nil
	}
	w := p.waits[a]
	if w == nil {
		w = &wait{done: make(chan struct{})}
		p.waits[a] = w
	}
	w.waiters++
	p.mu.Unlock()

	var err error
	select {
	case <-w.done:
		return w.claim, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-closed:
		err = ErrClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.waiters--
	if w.waiters == 0 && p.waits[a] == w {
		delete(p.waits, a)
	}
	return Claim{}, err
}

// announce wakes the callers that wait for a name to be held, or to be free. The caller holds mu.
func (p *part) announce(name string, winner *replica.Record) {
	a := awaited{name, winner == nil}
	if w := p.waits[a]; w != nil {
		w.claim = claimOf(winner)
		close(w.done)
		delete(p.waits, a)
	}
}
