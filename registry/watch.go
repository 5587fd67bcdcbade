package registry

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
)

// DefaultWatchBuffer is how many events a [Watcher] keeps unless [WatchBuffer] says otherwise.
const DefaultWatchBuffer = 1024

// A Watcher is a subscription to events. The registry never waits for it: if events come faster than they are
// taken, the oldest are dropped, and in their place the watcher gets one event of kind [Missed] that says how many
// those were. Its methods may be called at the same time; each event is given to one caller.
type Watcher struct {
	hub   *hub
	names map[string]struct{} // nil: all
	ready chan struct{}       // has room for one: there may be something to take
	done  chan struct{}       // closed when no more events come

	mu     sync.Mutex // guards the fields below; a leaf
	ring   ring
	err    error // why no more events come
	unlink func() bool
}

// A WatchOption configures a [Watcher].
type WatchOption func(*Watcher)

// WatchBuffer has the watcher keep up to n events. Less than 1 stands for [DefaultWatchBuffer].
func WatchBuffer(n int) WatchOption {
	return func(w *Watcher) {
		if n >= 1 {
			w.ring.limit = n
		}
	}
}

// WatchNames has the watcher get only events about these names, none about nodes.
func WatchNames(names ...string) WatchOption {
	return func(w *Watcher) {
		if w.names == nil {
			w.names = make(map[string]struct{}, len(names))
		}
		for _, name := range names {
			w.names[name] = struct{}{}
		}
	}
}

// Watch subscribes to events from this moment on, until ctx ends, the watcher is closed, or the registry is. To follow the whole state,
// first Watch and then read [Registry.All]; after a [Missed] read All again. Events about one name come in
// the order in which this node saw them; those of different names may come in any.
func (r *Registry) Watch(ctx context.Context, opts ...WatchOption) *Watcher {
	w := &Watcher{hub: &r.hub, ready: make(chan struct{}, 1), done: make(chan struct{})}
	w.ring.limit = DefaultWatchBuffer
	for _, o := range opts {
		o(w)
	}
	if !r.hub.add(w) {
		w.end(ErrClosed)
		return w
	}
	unlink := context.AfterFunc(ctx, func() { w.end(context.Cause(ctx)) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink = unlink
	if w.err != nil {
		unlink()
	}
	return w
}

// Next returns the next event, and waits for it if there is none. It fails with the cause of ctx or, once all events
// were taken, with the reason why no more come: [ErrClosed] if the watcher or the registry was closed, or the cause of the
// context that was given to Watch.
func (w *Watcher) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok := w.pop(); ok {
			return e, nil
		}
		select {
		case <-w.ready:
			continue
		default:
		}
		select {
		case <-w.ready:
		case <-w.done:
			if e, ok := w.pop(); ok {
				return e, nil
			}
			return Event{}, w.reason()
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// reason says why no more events come.
func (w *Watcher) reason() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Events yields events until no more come, see [Watcher.Next]. Leaving the loop does not close the watcher.
func (w *Watcher) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			e, err := w.Next(context.Background())
			if err != nil || !yield(e) {
				return
			}
		}
	}
}

// Close ends the subscription. Events that were not taken yet can still be. It may be called more than once.
func (w *Watcher) Close() { w.end(ErrClosed) }

func (w *Watcher) end(err error) {
	w.hub.remove(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = err
	close(w.done)
	if w.unlink != nil {
		w.unlink()
	}
}

func (w *Watcher) offer(e Event) {
	if w.names != nil {
		if _, ok := w.names[e.Name]; !ok {
			return
		}
	}
	w.mu.Lock()
	if w.err == nil {
		w.ring.push(e)
	}
	w.mu.Unlock()
	w.signal()
}

func (w *Watcher) pop() (Event, bool) {
	w.mu.Lock()
	e, ok := w.ring.pop()
	more := w.ring.len() > 0
	w.mu.Unlock()
	if more {
		w.signal() // for another caller of Next
	}
	return e, ok
}

func (w *Watcher) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// A ring keeps the last events up to a limit, and counts those it had to drop. It grows with need.
type ring struct {
	limit  int
	events []Event
	first  int
	n      int
	missed uint64
}

func (r *ring) len() int {
	if r.missed > 0 {
		return r.n + 1
	}
	return r.n
}

func (r *ring) push(e Event) {
	if r.n == len(r.events) && r.n < r.limit {
		grown := make([]Event, min(max(2*r.n, 16), r.limit))
		for i := range r.n {
			grown[i] = r.events[(r.first+i)%r.n]
		}
		r.events, r.first = grown, 0
	}
	if r.n == len(r.events) {
		r.events[r.first] = e
		r.first = (r.first + 1) % len(r.events)
		r.missed++
		return
	}
	r.events[(r.first+r.n)%len(r.events)] = e
	r.n++
}

func (r *ring) pop() (Event, bool) {
	if r.missed > 0 {
		e := Event{Kind: Missed, Missed: r.missed}
		r.missed = 0
		return e, true
	}
	if r.n == 0 {
		return Event{}, false
	}
	e := r.events[r.first]
	r.events[r.first] = Event{} // must not keep metadata alive
	r.first = (r.first + 1) % len(r.events)
	r.n--
	return e, true
}

// A hub hands events to all watchers.
type hub struct {
	count atomic.Int32 // of watchers, so that events cost nothing while there are none

	mu       sync.RWMutex // guards the fields below; taken before a watcher's mu
	watchers map[*Watcher]struct{}
	closed   bool
}

func (h *hub) publish(e Event) {
	if h.count.Load() == 0 {
		return
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for w := range h.watchers {
		w.offer(e)
	}
}

func (h *hub) add(w *Watcher) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	if h.watchers == nil {
		h.watchers = make(map[*Watcher]struct{})
	}
	h.watchers[w] = struct{}{}
	h.count.Store(int32(len(h.watchers))) //nolint:gosec // nobody has 2^31 watchers
	return true
}

func (h *hub) remove(w *Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	h.count.Store(int32(len(h.watchers))) //nolint:gosec // as above
}

// close ends all watchers.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	all := h.watchers
	h.watchers = nil
	h.count.Store(0)
	h.mu.Unlock()
	for w := range all {
		w.end(ErrClosed)
	}
}
