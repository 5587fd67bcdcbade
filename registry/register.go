package registry

import (
	"bytes"
	"context"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// Register claims name for the holder whose life is ctx.
//
// Mind that ctx means two things. It bounds how long Register may wait, and it is the holder's life: when it
// ends, be it years later, the name is released. So pass the context under which the holder runs, not one of a
// request or with a time-out for the call. With [context.Background] the name is held until it is released.
//
// If the name has a holder as far as this node sees, Register fails with a [*TakenError]. That it succeeds means
// that nobody was seen to hold the name; a node that can't be seen, or registers it at this moment, may hold it as
// well. Such a conflict is settled by the Resolver when the two meet, and the loser's context ends with
// [ErrConflict].
//
// A holder that registers a name again replaces its metadata and gets the same Registration. It is the same holder if
// ctx is the registration's [Registration.Context] or derived from that, or if it ends with the same context as that
// of the first call did (ctx.Done() returns the same channel, and not nil). Goroutines that share a context are thus one holder:
// derive one for each where they should compete.
//
// Register returns without waiting for other nodes. It waits only while its partition's queue is full, and fails
// with an [*OverloadedError] if ctx ends first. Other errors: a [*NameError] unless the name has 1 to [MaxName] bytes, a
// [*MetaError] for more than [Config].MaxMeta bytes of metadata, the cause of ctx if it had ended before, and [ErrClosed]. The
// metadata are copied.
func (r *Registry) Register(ctx context.Context, name string, meta []byte) (*Registration, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := r.checkMeta(name, meta); err != nil {
		return nil, err
	}
	meta = bytes.Clone(meta)
	p := r.part(name)
	var g *Registration
	err := p.withRoom(ctx, name, func(at replica.At) error {
		g = p.regs[name]
		if g != nil && g.ctx.Err() != nil { // its end is on the way here
			p.withdraw(at, g, replica.WhyEnded, nil)
			g = nil
		}
		if g != nil && g.heldBy(ctx) {
			return nil
		}
		if holder := p.core.Lookup(name); holder != nil {
			return &TakenError{Name: name, Holder: claimOf(holder)}
		}
		return nil
	}, func(at replica.At) {
		if g != nil {
			p.core.Update(at, name, meta)
			return
		}
		p.core.Register(at, name, meta)
		g = p.newRegistration(ctx, name)
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Update replaces the metadata of a name that is registered on this node with what f makes of the claim, whoever the
// holder is; see [Registration.Update]. For a name that is held on another node, or by nobody, it fails with a
// [*NotHolderError]: only its own node writes a claim.
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

// withRoom calls do, which changes the own claim on name, once check says nil and the queue has room. Both run with mu
// held; check may be called several times.
func (p *part) withRoom(ctx context.Context, name string, check func(replica.At) error, do func(replica.At)) error {
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
		e := p.settle()
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

// room is how many more names the queue may take. The caller holds mu.
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
	e := p.settle()
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
