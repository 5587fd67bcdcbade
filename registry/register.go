package registry

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// Register claims name for the holder whose life is ctx.
//
// ctx means two things. It bounds how long Register may wait, and it is the holder's life: when it
// ends, be it years later, the name is released. So pass the context under which the holder runs,
// not one of a request. A context with a deadline, which would lose the name minutes later, is
// refused with a [*DeadlineError]: to bound the wait, or to hold a name for a limited time, use
// [Registry.RegisterFor]. With [context.Background] the name is held until it is released.
//
// If this node sees a holder of the name, Register fails with a [*TakenError]. If it sees none,
// another node may still hold the name: one that can't be reached, or that registers it at this
// moment. The Resolver resolves such a conflict when the two meet, and the loser's context ends
// with [ErrConflict].
//
// A holder that registers a name again replaces its metadata and gets the same Registration. It is
// the same holder if ctx is the registration's [Registration.Context] or derived from it, with a
// deadline or without, or if ctx ends with the same context as that of the first call (ctx.Done()
// returns the same channel, and not nil). Goroutines that share a context are thus one holder: to
// let them compete, derive a context for each.
//
// After Open or a split, a partition has to catch up with a node that came up; until then a name
// that this node does not know may have a holder. Register waits for that, at most for
// [Config].SyncTimeout, and fails with a [*SyncingError] if this or ctx ends first.
//
// Otherwise Register returns without waiting for other nodes. It waits while its partition's queue
// is full, and fails with an [*OverloadedError] if ctx ends first. Other errors: a [*NameError]
// unless the name has 1 to [MaxName] bytes, a [*MetaError] for more than [Config].MaxMeta bytes of
// metadata, the cause of ctx if it had ended before, and [ErrClosed]. The metadata are copied.
func (r *Registry) Register(ctx context.Context, name string, meta []byte) (*Registration, error) {
	return r.register(ctx, ctx, name, meta, true)
}

// RegisterFor is [Registry.Register] with the two meanings of its context apart: wait bounds how
// long RegisterFor may wait, and has no effect once it has returned; life is the holder's life.
// Either may have a deadline. If life ends during the wait, RegisterFor fails as if wait had.
func (r *Registry) RegisterFor(
	wait, life context.Context, name string, meta []byte,
) (*Registration, error) {
	both, cancel := context.WithCancelCause(wait)
	defer cancel(nil)
	defer context.AfterFunc(life, func() { cancel(context.Cause(life)) })()
	return r.register(both, life, name, meta, false)
}

// register registers a name for a holder with the given life. It waits until wait ends, and refuses
// a life with a deadline if endless is true.
func (r *Registry) register(
	wait, life context.Context, name string, meta []byte, endless bool,
) (*Registration, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := r.checkMeta(name, meta); err != nil {
		return nil, err
	}
	meta = bytes.Clone(meta)
	p := r.part(name)
	g, err := p.register(wait, life, name, meta, endless)
	if errors.Is(err, errBehind) {
		limited, cancel := context.WithTimeoutCause(wait, r.cfg.SyncTimeout, errSyncTimeout)
		defer cancel()
		for errors.Is(err, errBehind) {
			if err = p.awaitCaughtUp(limited, name); err == nil {
				g, err = p.register(wait, life, name, meta, endless)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// errBehind is the error of part.register if a name that is not found may have a holder.
var errBehind = errors.New("registry: partition has not caught up")

// register registers a name as Registry.register does, but does not wait until the partition has
// caught up: it fails with errBehind.
func (p *part) register(
	wait, life context.Context, name string, meta []byte, endless bool,
) (g *Registration, err error) {
	err = p.withRoom(wait, name, func(at replica.At) error {
		if err := context.Cause(life); err != nil {
			return err
		}
		g = p.regs[name]
		if g != nil && g.ctx.Err() != nil { // its callback has not withdrawn it yet
			p.withdraw(at, g, replica.WhyEnded, nil)
			g = nil
		}
		if g != nil && g.heldBy(life) {
			return nil
		}
		// Before TakenError, so that the mistake shows whether or not the name is free.
		if deadline, ok := life.Deadline(); ok && endless {
			return &DeadlineError{Name: name, Deadline: deadline}
		}
		if holder := p.core.Lookup(name); holder != nil {
			return &TakenError{Name: name, Holder: claimOf(holder)}
		}
		if !p.core.CaughtUp() {
			return errBehind
		}
		return nil
	}, func(at replica.At) {
		if g != nil {
			p.core.Update(at, name, meta)
			return
		}
		p.core.Register(at, name, meta)
		g = p.newRegistration(life, name)
	})
	return g, err
}

// awaitCaughtUp waits until the partition has caught up with all nodes.
func (p *part) awaitCaughtUp(ctx context.Context, name string) error {
	done := make(chan struct{})
	p.mu.Lock()
	n, node := p.core.Behind()
	if n == 0 {
		close(done)
	} else {
		p.asked = append(p.asked, done)
	}
	p.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-p.reg.closing:
		return ErrClosed
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.asked = slices.DeleteFunc(p.asked, func(c chan struct{}) bool { return c == done })
	if n, now := p.core.Behind(); n > 0 {
		node = now
	}
	p.mu.Unlock()
	cause := context.Cause(ctx)
	if errors.Is(cause, errSyncTimeout) {
		cause = nil
	}
	return &SyncingError{Name: name, Partition: p.n, Node: node, Err: cause}
}

// Update replaces the metadata of a name that is registered on this node, by whichever holder, with
// what f returns for the claim; see [Registration.Update]. For a name that is held on another node,
// or not at all, it fails with a [*NotHolderError]: only its own node writes a claim.
func (r *Registry) Update(ctx context.Context, name string, f func(Claim) []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	p := r.part(name)
	p.mu.Lock()
	g, holder, closed := p.regs[name], claimOf(p.core.Lookup(name)), p.closed
	p.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case g == nil:
		return &NotHolderError{Name: name, Holder: holder}
	}
	return g.update(ctx, f)
}

// withRoom calls do, which changes the own claim on name, once check returns nil and the queue has
// room. Both run with mu held; check may be called several times.
func (p *part) withRoom(
	ctx context.Context, name string, check func(replica.At) error, do func(replica.At),
) error {
	var turn *ticket
	for {
		p.mu.Lock()
		mine := turn != nil
		if mine {
			p.gate.leave(turn)
			turn = nil
		}
		at := p.reg.now()
		err := context.Cause(ctx)
		if p.closed {
			err = ErrClosed
		}
		if err == nil {
			err = check(at)
		}
		switch {
		case err != nil:
		case mine || p.core.Queued(name) || !p.gate.full(p.room()):
			do(at)
		default:
			turn = p.gate.enter()
		}
		e := p.takeEffects()
		p.mu.Unlock()
		p.act(e)
		if turn == nil {
			return err
		}
		if err := p.await(ctx, name, turn); err != nil {
			return err
		}
	}
}

// room returns how many more names fit into the queue. The caller holds mu.
func (p *part) room() int {
	depth, _ := p.core.Pending()
	return p.reg.cfg.QueueSize - depth
}

// await waits for a ticket's turn.
func (p *part) await(ctx context.Context, name string, turn *ticket) error {
	closed := false
	select {
	case <-turn.turn:
		return nil
	case <-ctx.Done():
	case <-p.reg.closing:
		closed = true
	}
	p.mu.Lock()
	p.gate.leave(turn)
	e := p.takeEffects()
	depth, _ := p.core.Pending()
	p.mu.Unlock()
	p.act(e)
	if closed {
		return ErrClosed
	}
	return &OverloadedError{Name: name, Partition: p.n, Depth: depth, Err: context.Cause(ctx)}
}

func checkName(name string) error {
	if len(name) < 1 || len(name) > MaxName {
		return &NameError{Len: len(name), Max: MaxName}
	}
	return nil
}

func (r *Registry) checkMeta(name string, meta []byte) error {
	if len(meta) > r.cfg.MaxMeta {
		return &MetaError{Name: name, Len: len(meta), Max: r.cfg.MaxMeta}
	}
	return nil
}
