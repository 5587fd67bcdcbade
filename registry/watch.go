package registry

import (
	"context"
	"iter"

	"github.com/snowfence/snowfence/registry/internal/feed"
)

// DefaultWatchBuffer bounds the events that a [Watcher] keeps, unless [WatchBuffer] sets another
// bound.
const DefaultWatchBuffer = 1024

// A Watcher is a subscription to events. The registry never waits for it: if events come faster
// than they are taken, the oldest are dropped, and the watcher gets one event of kind [Missed] with
// their number instead. Its methods may be called at the same time; each event is given to one
// caller.
type Watcher struct{ events *feed.Subscription[Event] }

// A WatchOption configures a [Watcher].
type WatchOption func(*watchOptions)

type watchOptions struct {
	buffer int
	names  map[string]struct{} // nil: all
}

// WatchBuffer makes the watcher keep up to n events; less than 1: [DefaultWatchBuffer].
func WatchBuffer(n int) WatchOption {
	return func(o *watchOptions) {
		if n >= 1 {
			o.buffer = n
		}
	}
}

// WatchNames limits the watcher to events about these names; it gets none about nodes.
func WatchNames(names ...string) WatchOption {
	return func(o *watchOptions) {
		if o.names == nil {
			o.names = make(map[string]struct{}, len(names))
		}
		for _, name := range names {
			o.names[name] = struct{}{}
		}
	}
}

// Watch subscribes to events from this moment on, until ctx ends, or the watcher or the registry is
// closed. To follow the whole state, first Watch and then read [Registry.All]; after a [Missed]
// read All again. Events about one name come in the order in which this node saw them; those about
// different names may come in any order.
func (r *Registry) Watch(ctx context.Context, opts ...WatchOption) *Watcher {
	o := watchOptions{buffer: DefaultWatchBuffer}
	for _, f := range opts {
		f(&o)
	}
	var wants func(Event) bool
	if o.names != nil {
		wants = func(e Event) bool {
			_, ok := o.names[e.Name]
			return ok
		}
	}
	return &Watcher{r.hub.Subscribe(ctx, o.buffer, wants)}
}

// Next returns the next event, and waits if there is none. It fails with the cause of ctx or, once
// all events were taken and no more will come, with [ErrClosed] if the watcher or the registry was
// closed, or else with the cause of the context that was given to Watch.
func (w *Watcher) Next(ctx context.Context) (Event, error) { return w.events.Next(ctx) }

// Events yields events until no more come, see [Watcher.Next]. Leaving the loop does not close the
// watcher.
func (w *Watcher) Events() iter.Seq[Event] { return w.events.Events() }

// Close ends the subscription. Events that were not taken yet can still be taken. It may be called
// more than once.
func (w *Watcher) Close() { w.events.Close() }
