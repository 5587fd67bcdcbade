package group

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A Membership is a member of a group on this node. Its methods may be called at the same time.
type Membership struct {
	groups *Groups
	name   string
	id     uint64
	ctx    context.Context
	cancel context.CancelCauseFunc
	unlink func() bool // stops the callback for the end of the holder
}

// Join makes the holder whose life is ctx a member of a group.
//
// As with [registry.Registry.Register], ctx means two things: it bounds how long Join may wait, and
// it is the holder's life. When it ends, be it years later, the holder is no member any more. A
// context with a deadline is refused with a [*registry.DeadlineError]; see [Groups.JoinFor]. With
// [context.Background] the holder is a member until it leaves. Each call makes one more member,
// even under the same context.
//
// Join returns without waiting for other nodes; this one shows the member at once. It waits only
// while the queue of the group's partition is full, and fails with a [*registry.OverloadedError] if
// ctx ends first. Other errors: a [*registry.NameError] unless the name has 1 to [registry.MaxName]
// bytes, a [*registry.MetaError] for more than [registry.Config].MaxMeta bytes of metadata, a
// [*FullError] if the members of this node in the group would take more than [MaxBytes], the cause
// of ctx if it had ended before, and [registry.ErrClosed]. The metadata are copied.
func (g *Groups) Join(ctx context.Context, name string, meta []byte) (*Membership, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		return nil, &registry.DeadlineError{Name: name, Deadline: deadline}
	}
	return g.join(ctx, ctx, name, meta)
}

// JoinFor is [Groups.Join] with the two meanings of its context apart: wait bounds how long JoinFor
// may wait, and has no effect once it has returned; life is the holder's life. Either may have a
// deadline. If life ends during the wait, JoinFor fails as if wait had.
func (g *Groups) JoinFor(
	wait, life context.Context, name string, meta []byte,
) (*Membership, error) {
	both, cancel := context.WithCancelCause(wait)
	defer cancel(nil)
	defer context.AfterFunc(life, func() { cancel(context.Cause(life)) })()
	return g.join(both, life, name, meta)
}

func (g *Groups) join(wait, life context.Context, name string, meta []byte) (*Membership, error) {
	if err := g.space.CheckMeta(name, meta); err != nil {
		return nil, err
	}
	m := Member{Node: g.space.Node(), ID: g.lastID.Add(1), Meta: meta}
	err := g.space.Edit(wait, name, func(own []byte) ([]byte, error) {
		if err := context.Cause(life); err != nil {
			return nil, err
		}
		members, err := g.own(own)
		if err != nil {
			return nil, err
		}
		m.Time = registry.Timestamp(g.space.Now())
		i, _ := find(members, m.ID)
		return list(name, slices.Insert(members, i, m))
	})
	if err != nil {
		return nil, err
	}
	return g.admit(life, name, m.ID)
}

// admit links a member to its holder's life.
func (g *Groups) admit(ctx context.Context, name string, id uint64) (*Membership, error) {
	m := &Membership{groups: g, name: name, id: id}
	m.ctx, m.cancel = context.WithCancelCause(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired { // and all that it had was withdrawn
		m.cancel(registry.ErrClosed)
		return nil, registry.ErrClosed
	}
	g.live[m] = struct{}{}
	g.endings.Add(1)
	m.unlink = context.AfterFunc(m.ctx, func() {
		defer g.endings.Done()
		m.remove(replica.WhyEnded)
	})
	return m, nil
}

// Group returns the group's name.
func (m *Membership) Group() string { return m.name }

// Context returns a context that ends with the membership. It is derived from the context that was
// given to Join. Its cause ([context.Cause]) is [registry.ErrReleased] after Leave,
// [registry.ErrClosed] when the registry closed or left, and otherwise the cause with which the
// holder's own context ended.
func (m *Membership) Context() context.Context { return m.ctx }

// Member returns the member as this node shows it, and whether it still is one.
func (m *Membership) Member() (Member, bool) {
	if m.ctx.Err() == nil {
		members := m.groups.Local(m.name)
		if i, ok := find(members, m.id); ok {
			return members[i], true
		}
	}
	return Member{}, false
}

// Leave ends the membership, and its context with [registry.ErrReleased]. It waits neither for
// other nodes nor for room in the queue. It returns nil if the member has left, now or before, and
// otherwise the cause with which the membership had ended already.
func (m *Membership) Leave() error {
	m.stop()
	m.cancel(registry.ErrReleased)
	m.remove(replica.WhyReleased)
	if cause := context.Cause(m.ctx); !errors.Is(cause, registry.ErrReleased) {
		return cause
	}
	return nil
}

// Update replaces the metadata with what f returns for them; ID and time stay. f must not modify
// its argument, and is called again if the metadata were changed meanwhile. Update waits for room
// in the queue as [Groups.Join] does. It fails with a [*registry.MetaError], a [*FullError], a
// [*registry.OverloadedError], or the cause with which the membership or ctx has ended.
func (m *Membership) Update(ctx context.Context, f func(meta []byte) []byte) error {
	g := m.groups
	for {
		is, ok := m.Member()
		if !ok {
			return m.ended()
		}
		meta := bytes.Clone(f(is.Meta))
		if err := g.space.CheckMeta(m.name, meta); err != nil {
			return err
		}
		err := g.space.Edit(ctx, m.name, func(own []byte) ([]byte, error) {
			members, err := g.own(own)
			if err != nil {
				return nil, err
			}
			i, ok := find(members, m.id)
			switch {
			case !ok || m.ctx.Err() != nil:
				return nil, errGone
			case !bytes.Equal(members[i].Meta, is.Meta):
				return nil, errChanged
			}
			members[i].Meta = meta
			return list(m.name, members)
		})
		switch {
		case errors.Is(err, errChanged):
		case errors.Is(err, errGone):
			return m.ended()
		default:
			return err
		}
	}
}

// ended returns why the membership has ended.
func (m *Membership) ended() error {
	if err := context.Cause(m.ctx); err != nil {
		return err
	}
	return registry.ErrClosed // the registry withdraws all claims before it ends their contexts
}

// stop stops the callback for the holder's end.
func (m *Membership) stop() {
	if m.unlink() {
		m.groups.endings.Done()
	}
}

// remove removes the member from the list, if it is still there.
func (m *Membership) remove(why replica.Why) {
	g := m.groups
	g.mu.Lock()
	delete(g.live, m)
	g.mu.Unlock()
	g.space.Shrink(m.name, why, func(own []byte) ([]byte, bool) {
		members, err := g.own(own)
		i, ok := find(members, m.id)
		if err != nil || !ok {
			return nil, false
		}
		if len(members) == 1 {
			return nil, true
		}
		return appendList(make([]byte, 0, len(own)), slices.Delete(members, i, i+1)), true
	})
}

// own decodes this node's list.
func (g *Groups) own(meta []byte) ([]Member, error) {
	if len(meta) == 0 {
		return nil, nil
	}
	return parseList(g.space.Node(), meta)
}

// list encodes members. It fails with a FullError if they are too many.
func list(name string, members []Member) ([]byte, error) {
	b := appendList(nil, members)
	if len(b) > MaxBytes {
		return nil, &FullError{Group: name, Members: len(members), Bytes: len(b), Max: MaxBytes}
	}
	return b, nil
}
