package mesh

import (
	"context"
	"slices"
	"sync"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// Send queues a message for a member, to be sent over a connection. The message must not be changed
// any more. Send does not block, and reports false if there is no such member, if its queue is
// full, or if the message is larger than any frame may be. Messages to one member are sent in
// order, and arrive so within a frame. Frames may overtake each other, since each has its own
// connection, and may be lost with that or with the member.
func (m *Mesh) Send(to string, partition int, msg replica.Message) bool {
	item, size, ok := m.item(partition, msg)
	if !ok {
		return false
	}
	x := m.members.get(to)
	if x == nil {
		m.counters.noMember.Add(1)
		return false
	}
	out := x.peer.offer(item, size)
	if out != queued {
		m.counters.queueFull.Add(1)
	}
	return out == queued
}

// SendAll queues a message for all members. It blocks while a queue is full, until the context
// ends, and returns the names of the members whose queue stayed full. A full queue delays no other:
// all that have room get the message at once. Members that go or come meanwhile are left out.
func (m *Mesh) SendAll(ctx context.Context, partition int, msg replica.Message) (missed []string) {
	item, size, ok := m.item(partition, msg)
	wait := m.members.all()
	if !ok {
		for _, x := range wait {
			missed = append(missed, x.Name)
		}
		return missed
	}
	for len(wait) > 0 {
		room := m.space.wait() // before offer, so that no signal is missed
		wait = slices.DeleteFunc(wait, func(x *member) bool { return x.peer.offer(item, size) != full })
		if len(wait) == 0 || ctx.Err() != nil || m.ctx.Err() != nil {
			break
		}
		select {
		case <-room:
		case <-ctx.Done():
		case <-m.ctx.Done():
		}
	}
	for _, x := range wait {
		m.counters.queueFull.Add(1)
		missed = append(missed, x.Name)
	}
	return missed
}

// item returns a message as an item with its size; ok is false if it is too large for a frame.
func (m *Mesh) item(partition int, msg replica.Message) (item wire.Item, size int, ok bool) {
	item = wire.Item{Partition: partition, Message: msg}
	size = item.Size()
	if size+wire.HeaderSize(m.cfg.Node) > wire.DefaultMaxFrame {
		m.counters.tooLarge.Add(1)
		return item, size, false
	}
	return item, size, true
}

// encode returns the byte of a path, and a frame that holds the items.
func (m *Mesh) encode(path byte, items []wire.Item) ([]byte, error) {
	f := &wire.Frame{From: m.cfg.Node, Incarnation: m.cfg.Incarnation, Sent: m.cfg.Wall(),
		Items: items}
	b := make([]byte, 1, 1+f.Size())
	b[0] = path
	return wire.Append(b, f)
}

// invalid logs a message that can't be encoded: a bug in this program, and no reason to end it.
func (m *Mesh) invalid(err error) {
	m.counters.invalid.Add(1)
	if ok, repeats := m.repeats.Allow("invalid"); ok {
		m.log.Error("a message can't be encoded", "err", err, "repeats", repeats)
	}
}

// space wakes the callers of SendAll when any peer's queue has shrunk.
type space struct {
	mu sync.Mutex // guards ch; no other lock is taken inside
	ch chan struct{}
}

// wait returns a channel that the next signal closes.
func (s *space) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *space) signal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
