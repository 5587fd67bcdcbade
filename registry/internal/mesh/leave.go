package mesh

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a Leave, besides its context.
const (
	noticeTimeout = 300 * time.Millisecond // for the answers of a round of notices
	noticeRounds  = 4
	leaveTimeout  = 5 * time.Second

	maxAcks = 1024 // answers that come at once; members whose answer is dropped get another notice
)

// leaving is the state of a Leave. Memberlist knows that a node left and did not die, but does not
// report it; so the node notifies all members itself, and waits for their answers, before
// memberlist does.
type leaving struct {
	begun atomic.Bool
	acks  chan string // names of members that have answered

	mu   sync.Mutex // held during a Leave, and by Close; taken before all other locks
	done bool       // guarded by mu
}

// noted notes the answer of a member. It does not block.
func (l *leaving) noted(name string) {
	if !l.begun.Load() {
		return
	}
	select {
	case l.acks <- name:
	default:
	}
}

// Leave notifies the others that this node leaves: their NodeDown reports left. Afterwards the node
// is no member any more, but still receives and sends until [Mesh.Close]. Leave blocks until the
// members have answered, for a few seconds at the most, or until the context ends; an error means
// that some may declare the node dead instead. A second call returns at once. After Close it
// returns [ErrClosed].
func (m *Mesh) Leave(ctx context.Context) error {
	finished := make(chan error, 1)
	if !m.spawn(func() { finished <- m.leave(ctx) }) {
		return ErrClosed
	}
	select {
	case err := <-finished:
		return err
	case <-ctx.Done():
		return fmt.Errorf("registry: Leave: %w", context.Cause(ctx))
	}
}

func (m *Mesh) leave(ctx context.Context) error {
	m.leaving.mu.Lock()
	defer m.leaving.mu.Unlock()
	if m.leaving.done {
		return nil
	}
	if m.ctx.Err() != nil {
		return ErrClosed
	}
	m.leaving.begun.Store(true)
	heard, all := m.giveNotice(ctx)
	if m.ctx.Err() != nil {
		return ErrClosed
	}

	timeout := leaveTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Millisecond, min(timeout, time.Until(deadline)))
	}
	err := m.list.Leave(timeout)
	m.leaving.done = true
	switch {
	case err != nil:
		return fmt.Errorf("registry: Leave: the news did not go out: %w", err)
	case heard < all:
		return fmt.Errorf("registry: Leave: %d of %d members have confirmed that they know", heard, all)
	}
	return nil
}

// giveNotice sends a notice to each member over a connection, and waits for the answers, which come
// in packets. It returns how many of all have answered.
func (m *Mesh) giveNotice(ctx context.Context) (heard, all int) {
	waiting := make(map[string]*member)
	for _, x := range m.members.all() {
		waiting[x.Name] = x
	}
	all = len(waiting)
	text := newNotice(isLeaving, m.cfg.Node, m.cfg.Incarnation)
	for range noticeRounds {
		for _, x := range waiting {
			m.spawn(func() {
				if err := m.list.SendReliable(&x.node, text); err != nil {
					m.log.Debug("notice not sent", "member", x.Name, "addr", x.Addr, "err", err)
				}
			})
		}
		m.awaitNoted(ctx, waiting)
		if len(waiting) == 0 || ctx.Err() != nil || m.ctx.Err() != nil {
			break
		}
	}
	return all - len(waiting), all
}

// awaitNoted removes the members that answer within noticeTimeout from waiting.
func (m *Mesh) awaitNoted(ctx context.Context, waiting map[string]*member) {
	timeout := time.NewTimer(noticeTimeout)
	defer timeout.Stop()
	for len(waiting) > 0 {
		select {
		case name := <-m.leaving.acks:
			delete(waiting, name)
		case <-timeout.C:
			for name := range waiting { // a member that has gone will not answer
				if m.members.get(name) == nil {
					delete(waiting, name)
				}
			}
			return
		case <-ctx.Done():
			return
		case <-m.ctx.Done():
			return
		}
	}
}
