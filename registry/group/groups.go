package group

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/internal/feed"
	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/shared"
)

// Groups holds the groups of a registry. Its methods may be called at the same time. It has no
// goroutine of its own and needs no closing: it ends with the registry.
type Groups struct {
	space      shared.Space
	stats      func() []registry.PartitionStats // of the space
	hub        feed.Hub[Event]
	lastID     atomic.Uint64
	unreadable atomic.Uint64

	// rosters has each group that this node sees. Only Changed writes to it.
	rosters *xsync.Map[string, *roster]

	endings sync.WaitGroup // callbacks of memberships that may still run

	mu      sync.Mutex // guards the fields below; a leaf
	live    map[*Membership]struct{}
	retired bool
}

// Open returns the groups of a registry, the same ones at each call. The first call on any node of
// the cluster wakes the replication of groups on all nodes. Open waits, as [registry.Open] does,
// until this node has the claims that the others have, for [registry.Config].SyncTimeout at most;
// a time-out is no error. It fails with the cause of ctx, or with [registry.ErrClosed].
func Open(ctx context.Context, r *registry.Registry) (*Groups, error) {
	client, err := r.OpenGroups(ctx, newGroups)
	if err != nil {
		return nil, err
	}
	return client.(notified).Groups, nil //nolint:errcheck,forcetypeassert // newGroups made it
}

// notified is Groups with the methods that the registry calls.
type notified struct{ *Groups }

func newGroups(s shared.Space, stats func() []registry.PartitionStats) shared.Client {
	g := &Groups{space: s, stats: stats, rosters: xsync.NewMap[string, *roster](),
		live: make(map[*Membership]struct{})}
	g.hub.Ended = registry.ErrClosed
	g.hub.Missed = func(n uint64) Event { return Event{Kind: Missed, Missed: n} }
	g.lastID.Store(uint64(s.Now().Nanos)) //nolint:gosec // positive until 2262
	return notified{g}
}

// Members returns the members of a group that this node sees, by node name and ID; nil if there are
// none. It takes no lock and, if nothing has changed since the last call, allocates nothing. The
// slice is shared: it must not be modified.
func (g *Groups) Members(name string) []Member {
	if o, ok := g.rosters.Load(name); ok {
		return o.members()
	}
	return nil
}

// Local returns the members of a group that live on this node; otherwise it is like
// [Groups.Members].
func (g *Groups) Local(name string) []Member {
	o, _ := g.rosters.Load(name)
	if c := o.of(g.space.Node()); c != nil {
		return c.members()
	}
	return nil
}

// Len returns how many members a group has.
func (g *Groups) Len(name string) int { return len(g.Members(name)) }

// Names yields the names of the groups that have members, in no order. Groups may be used, and may
// change, meanwhile; a group that has members all the time is yielded once.
func (g *Groups) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name, o := range g.rosters.All() {
			if len(o.members()) > 0 && !yield(name) {
				return
			}
		}
	}
}

// Changed replaces a node's claim on a group.
func (g notified) Changed(r *replica.Record) {
	before, _ := g.rosters.Load(r.Name)
	was := before.of(r.Node)
	var is *claim
	var after *roster
	if r.Dead {
		after = before.without(r.Node)
	} else {
		is = claimOf(r, g.refuse)
		after = before.with(is)
	}
	if after == nil {
		g.rosters.Delete(r.Name)
	} else {
		g.rosters.Store(r.Name, after)
	}
	if g.hub.Watched() {
		g.publish(r, was, is)
	}
}

// refuse counts and logs a claim whose list of members can't be read.
func (g *Groups) refuse(r *replica.Record, err error) {
	g.unreadable.Add(1)
	g.space.Log().Warn("the members of a group on another node can't be read", "group", quote(r.Name),
		"member", r.Node, "error", err)
}

// Retire ends all memberships: the registry has withdrawn their claims.
func (g notified) Retire() {
	g.mu.Lock()
	g.retired = true
	all := g.live
	g.live = nil
	g.mu.Unlock()
	for m := range all {
		m.stop()
		m.cancel(registry.ErrClosed)
	}
	g.endings.Wait()
}

// Close ends all watchers.
func (g notified) Close() { g.hub.Close() }

// find returns the index of a member in the list of its node, and whether it is there.
func find(members []Member, id uint64) (int, bool) {
	return slices.BinarySearchFunc(members, id, compareID)
}
