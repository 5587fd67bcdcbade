package registry

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Registration is a name held by a holder on this node. Its methods may be called at the same
// time.
type Registration struct {
	part   *part
	name   string
	holder <-chan struct{} // ends with the context that the name was registered with; nil: never
	ctx    context.Context
	cancel context.CancelCauseFunc

	pulse atomic.Pointer[pulse] // nil: the holder need not call Alive. Written under the part's mu

	// Guarded by the part's mu.
	unlink func() bool     // stops the callback for the end of the holder
	last   *replica.Record // the claim when the registration ended
	cause  error           // why it ended; nil: it has not, or its holder has ended
}

// A holderContext is a context of a holder. It carries the registration under two keys.
type holderContext struct {
	context.Context //nolint:containedctx // it is one, with values
	g               *Registration
}

type (
	registrationKey struct{ g *Registration } // of one that a context carries
	innermostKey    struct{}                  // of the one that was made last
)

// Value returns the registration for its keys.
func (c holderContext) Value(key any) any {
	switch key {
	case registrationKey{c.g}, innermostKey{}:
		return c.g
	}
	return c.Context.Value(key)
}

// RegistrationFromContext returns the registration under which ctx lives: ctx is its
// [Registration.Context], or was given to the function that [Registry.Run] runs, or is derived from
// one of those. Of several registrations it is the one that was made last. It returns false if
// there is none.
func RegistrationFromContext(ctx context.Context) (*Registration, bool) {
	g, ok := ctx.Value(innermostKey{}).(*Registration)
	return g, ok
}

// newRegistration links a claim to its holder's life. The caller holds the part's mu.
func (p *part) newRegistration(ctx context.Context, name string) *Registration {
	g := &Registration{part: p, name: name, holder: ctx.Done()}
	inner, cancel := context.WithCancelCause(ctx)
	g.cancel = cancel
	g.ctx = holderContext{inner, g}
	p.regs[name] = g
	p.reg.endings.Add(1)
	g.unlink = context.AfterFunc(inner, func() {
		defer p.reg.endings.Done()
		p.step(func(at replica.At) {
			if p.regs[name] == g {
				p.withdraw(at, g, replica.WhyEnded, nil)
			}
		})
	})
	return g
}

// heldBy reports whether ctx is the holder's: it carries the registration, or ends with the context
// that the name was registered with.
func (g *Registration) heldBy(ctx context.Context) bool {
	return ctx.Value(registrationKey{g}) != nil || g.holder != nil && ctx.Done() == g.holder
}

// withdraw ends the claim of a registration, which must be one of p.regs. The caller holds mu.
func (p *part) withdraw(at replica.At, g *Registration, why replica.Why, cause error) ending {
	own := p.core.Own(g.name)
	p.core.Unregister(at, g.name, why)
	return p.detach(g, own, cause)
}

// detach separates a registration from its claim, which is gone or about to go. The caller holds
// mu. Once it has released that, it ends the registration's context as the result says.
func (p *part) detach(g *Registration, last *replica.Record, cause error) ending {
	delete(p.regs, g.name)
	g.last, g.cause = last, cause
	if g.unlink() {
		p.reg.endings.Done()
	}
	g.stopPulse()
	return ending{g, cause}
}

// Name returns the registered name.
func (g *Registration) Name() string { return g.name }

// Context returns a context that ends with the registration; the holder should stop then. It is
// derived from the context that the name was registered with. Its cause ([context.Cause]) is
// [ErrReleased] after Release, [ErrClosed] when the registry closed or left, a [*ConflictError]
// (which is [ErrConflict]) when another node's claim was preferred, a [*SilentError] (which is
// [ErrSilent]) when the holder did not call [Registration.Alive] in time, and otherwise the cause
// with which the holder's own context ended.
//
// A name that is registered with this context, or one derived from it, belongs to the same holder.
func (g *Registration) Context() context.Context { return g.ctx }

// Claim returns the claim as it stands or, after the registration's end, as it stood.
func (g *Registration) Claim() Claim {
	g.part.mu.Lock()
	defer g.part.mu.Unlock()
	if g.part.regs[g.name] == g {
		return claimOf(g.part.core.Own(g.name))
	}
	return claimOf(g.last)
}

// Release gives the name up and ends the registration's context with [ErrReleased]. It waits
// neither for other nodes nor for room in the queue. It returns nil if the registration has been
// released, now or before, and otherwise the cause with which it had ended already.
func (g *Registration) Release() error {
	p := g.part
	p.mu.Lock()
	held := p.regs[g.name] == g && g.ctx.Err() == nil
	var e effects
	if p.regs[g.name] == g {
		end := p.withdraw(p.reg.now(), g, replica.WhyReleased, ErrReleased)
		e = p.takeEffects()
		e.ended = append(e.ended, end)
	}
	cause := g.cause
	p.mu.Unlock()
	p.act(e)
	if held {
		return nil
	}
	if err := context.Cause(g.ctx); err != nil {
		cause = err
	}
	if errors.Is(cause, ErrReleased) {
		return nil
	}
	return cause
}

// Update replaces the metadata with what f returns for them; the timestamp stays. f must not modify
// its argument, and is called again if the metadata were changed meanwhile. Update waits for room
// in the queue as [Registry.Register] does. It fails with a [*MetaError], an [*OverloadedError], or
// the cause with which the registration or ctx has ended.
func (g *Registration) Update(ctx context.Context, f func(meta []byte) []byte) error {
	return g.update(ctx, func(c Claim) []byte { return f(c.Meta) })
}

func (g *Registration) update(ctx context.Context, f func(Claim) []byte) error {
	p := g.part
	for {
		was, err := g.current()
		if err != nil {
			return err
		}
		meta := bytes.Clone(f(claimOf(was)))
		if err := p.reg.checkMeta(g.name, meta); err != nil {
			return err
		}
		err = p.withRoom(ctx, g.name, func(replica.At) error {
			switch {
			case p.regs[g.name] != g || g.ctx.Err() != nil:
				return g.ended()
			case p.core.Own(g.name) != was:
				return errChanged
			}
			return nil
		}, func(at replica.At) { p.core.Update(at, g.name, meta) })
		if !errors.Is(err, errChanged) {
			return err
		}
	}
}

var errChanged = errors.New("registry: changed meanwhile")

// current returns the claim, or why there is none any more.
func (g *Registration) current() (*replica.Record, error) {
	g.part.mu.Lock()
	defer g.part.mu.Unlock()
	if g.part.regs[g.name] != g || g.ctx.Err() != nil {
		return nil, g.ended()
	}
	return g.part.core.Own(g.name), nil
}

// ended returns why the registration has ended. The caller holds the part's mu.
func (g *Registration) ended() error {
	if g.cause != nil {
		return g.cause
	}
	return context.Cause(g.ctx)
}
