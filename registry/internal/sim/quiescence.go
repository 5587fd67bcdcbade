package sim

import (
	"slices"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// quiescent checks the invariants of a world at rest.
func (w *World) quiescent() {
	for _, name := range w.names {
		part := w.partOf[name]
		var holders []*replica.Record
		for _, n := range w.nodes {
			if n.alive {
				if r := n.cores[part].Own(name); r != nil {
					holders = append(holders, r)
				}
			}
		}
		w.thereCanBeOnlyOne(name, part, holders)
		w.allRegistered(name, part, holders)
	}
	w.clockBounded()
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		for part := range n.cores {
			n.ownAuthority(&n.cores[part], false)
			n.inspect(&n.cores[part], part, input{all: true}, nil)
			n.logBounded(&n.cores[part])
		}
	}
}

// thereCanBeOnlyOne checks that at most one node holds a name that is not shared, and that every
// replica shows the same winner. (ThereCanBeOnlyOne.)
func (w *World) thereCanBeOnlyOne(name string, part int, holders []*replica.Record) {
	if len(holders) > 1 && !w.setup.shared(name) {
		w.violated("ThereCanBeOnlyOne", "%q is held by%v", name, holders)
	}
	var first *node
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		if first == nil {
			first = n
		}
		if a, b := first.cores[part].Lookup(name), n.cores[part].Lookup(name); !same(a, b) && a != nil &&
			b != nil {
			w.violated("ThereCanBeOnlyOne", "%q: %s finds %v, %s finds %v", name, first.name, a, n.name, b)
		}
	}
}

// allRegistered checks that every claim that stands is shown everywhere in its latest form, and
// that no other claim is shown. (AllRegistered, NoZombie.)
func (w *World) allRegistered(name string, part int, holders []*replica.Record) {
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		c := &n.cores[part]
		claims := c.Claims(name)
		for _, r := range claims {
			if !slices.ContainsFunc(holders, func(h *replica.Record) bool { return same(h, r) }) {
				if slices.ContainsFunc(holders, func(h *replica.Record) bool { return h.Node == r.Node }) {
					w.violated("AllRegistered", "%s still shows %v, which has changed:%v", n.name, r, holders)
				}
				w.violated("NoZombie", "%s shows %v, but that is gone at its node; held by%v", n.name, r,
					holders)
			}
		}
		if len(claims) < len(holders) {
			w.violated("AllRegistered", "%s shows%v of %q, but held are%v", n.name, claims, name, holders)
		}
	}
}

// winnersStand checks that the claim which the resolver prefers of those that stood when calm began
// has the name, unless one was released. (WinnerIsResolved.)
func (w *World) winnersStand(best map[string]*replica.Record) {
	for _, name := range w.names {
		want := best[name]
		if want == nil || w.dirty[name] {
			continue
		}
		for _, n := range w.nodes {
			if !n.alive {
				continue
			}
			if got := n.cores[w.partOf[name]].Lookup(name); got == nil || got.Node != want.Node ||
				got.Time != want.Time {
				w.violated("WinnerIsResolved",
					"%q was not released, and when calm began %v was the best claim, but %s finds %v", name, want,
					n.name, got)
			}
		}
	}
}

// clockBounded checks that no claim is ahead of all other nodes' clocks by more than MaxSkew.
// (ClockBounded.)
func (w *World) clockBounded() {
	if w.stepped || w.living() < 2 {
		return
	}
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		var latest int64
		for _, other := range w.nodes {
			if other != n { // a dead one may have been heard before
				latest = max(latest, other.wall())
			}
		}
		limit := latest + int64(w.setup.MaxSkew+time.Second)
		for i := range n.cores {
			n.cores[i].OwnNames(func(r *replica.Record) bool {
				if r.Time.Nanos > limit {
					w.violated("ClockBounded", "%s holds %v, ahead of all others by %v", n.name, r,
						time.Duration(r.Time.Nanos-latest))
				}
				return true
			})
		}
	}
}

// logBounded checks that a core at rest keeps no more records than about twice its claims and
// tombstones. (TombstonesBounded.)
func (n *node) logBounded(c *core) {
	s, claims := c.Stats(), 0
	for _, name := range n.world.names {
		claims += len(c.Claims(name))
	}
	if most := 2*(claims+s.Tombstones) + 130*len(n.world.nodes); s.Log > most {
		n.world.violated("TombstonesBounded", "%s keeps %d records for %d claims and %d tombstones",
			n.name, s.Log, claims, s.Tombstones)
	}
	if s.Buffered > 0 {
		n.world.violated("AllMessagesProcessed", "%s is at rest, but %d updates wait", n.name, s.Buffered)
	}
}
