package feed

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Hub passes events to all its subscriptions. Its methods may be called at the same time; Ended
// and Missed must be set before the first call.
type Hub[E any] struct {
	Ended  error          // of [Subscription.Next] after the subscription or the hub was closed
	Missed func(uint64) E // returns the event for a number of dropped ones
	count  atomic.Int32   // of subscriptions, so that events cost nothing while there are none
	mu     sync.RWMutex   // guards the fields below; taken before a subscription's mu
	all    map[*Subscription[E]]struct{}
	closed bool
}

// Watched reports whether there are subscriptions.
func (h *Hub[E]) Watched() bool { return h.count.Load() > 0 }

// Publish passes an event to all subscriptions. It does not block.
func (h *Hub[E]) Publish(e E) {
	if !h.Watched() {
		return
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.all {
		s.offer(e)
	}
}

// Subscribe returns a subscription to the events from now on for which wants returns true (nil:
// all). It keeps up to limit events, and ends with ctx at the latest.
func (h *Hub[E]) Subscribe(ctx context.Context, limit int, wants func(E) bool) *Subscription[E] {
	s := &Subscription[E]{hub: h, wants: wants, ready: make(chan struct{}, 1),
		done: make(chan struct{})}
	s.ring.limit = limit
	if !h.add(s) {
		s.end(h.Ended)
		return s
	}
	unlink := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlink = unlink
	if s.err != nil {
		unlink()
	}
	return s
}

// add adds a subscription, and reports whether the hub is open.
func (h *Hub[E]) add(s *Subscription[E]) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	if h.all == nil {
		h.all = make(map[*Subscription[E]]struct{})
	}
	h.all[s] = struct{}{}
	h.count.Store(int32(len(h.all))) //nolint:gosec // fewer than 2^31
	return true
}

func (h *Hub[E]) remove(s *Subscription[E]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, s)
	h.count.Store(int32(len(h.all))) //nolint:gosec // as above
}

// Close ends all subscriptions, and later ones at once.
func (h *Hub[E]) Close() {
	h.mu.Lock()
	h.closed = true
	all := h.all
	h.all = nil
	h.count.Store(0)
	h.mu.Unlock()
	for s := range all {
		s.end(h.Ended)
	}
}
