package group

import (
	"context"
	"iter"

	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/internal/feed"
)

// A Watcher is a subscription to events. Members don't wait for it: it keeps the last
// [registry.DefaultWatchBuffer] events, and one of kind [Missed] for those before. Its methods may
// be called at the same time; each event is given to one caller.
type Watcher struct{ events *feed.Subscription[Event] }

// Watch subscribes to the events of some groups, or of all if no name is given, from this moment
// on, until ctx ends, or the watcher or the registry is closed. To follow a group, first Watch and
// then read [Groups.Members]; after a [Missed] read them again. Events about the members of one
// node in one group come in order; others may come in any order.
func (g *Groups) Watch(ctx context.Context, names ...string) *Watcher {
	var wants func(Event) bool
	if len(names) > 0 {
		set := make(map[string]struct{}, len(names))
		for _, name := range names {
			set[name] = struct{}{}
		}
		wants = func(e Event) bool {
			_, ok := set[e.Group]
			return ok
		}
	}
	return &Watcher{g.hub.Subscribe(ctx, registry.DefaultWatchBuffer, wants)}
}

// Next returns the next event, and waits if there is none. It fails with the cause of ctx or, once
// all events were taken and no more will come, with [registry.ErrClosed] if the watcher or the
// registry was closed, or else with the cause of the context that was given to Watch.
func (w *Watcher) Next(ctx context.Context) (Event, error) { return w.events.Next(ctx) }

// Events yields events until no more come, see [Watcher.Next]. Leaving the loop does not close the
// watcher.
func (w *Watcher) Events() iter.Seq[Event] { return w.events.Events() }

// Close ends the subscription. Events that were not taken yet can still be taken. It may be called
// more than once.
func (w *Watcher) Close() { w.events.Close() }
