package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// Churn describes the churn of a world in which names change all the time: each node holds Names/2
// of Names names of its own, and at each interval it releases the oldest and registers the next.
type Churn struct {
	Every time.Duration // 0: there is none
	Names int
	Lag   time.Duration // within which a change must be seen everywhere, once the faults are over
}

// churnName returns the k-th name that a node turns over.
func (n *node) churnName(k int) string {
	return fmt.Sprintf("churn-%s-%d", n.name, k%n.world.setup.Churn.Names)
}

// beginChurn registers the names of a node that starts.
func (n *node) beginChurn() {
	c := n.world.setup.Churn
	if c.Every == 0 || n.world.still {
		return
	}
	n.turned = 0
	for range c.Names / 2 {
		n.register(n.churnName(n.turned), nil)
		n.turned++
	}
	n.world.schedule(event{at: n.world.now + c.Every, do: churn, node: int32(n.id), life: n.life})
}

// turnOver releases a name and registers another.
func (n *node) turnOver() {
	c := n.world.setup.Churn
	if n.world.still {
		return
	}
	n.unregister(n.churnName(n.turned+c.Names-c.Names/2), replica.WhyReleased)
	n.register(n.churnName(n.turned), nil)
	n.turned++
	n.world.schedule(event{at: n.world.now + c.Every, do: churn, node: int32(n.id), life: n.life})
}

// churnRuns ends all faults, but not the churn, and checks that nodes catch up. It panics with a
// *Violation.
func (w *World) churnRuns() {
	if w.trace != nil {
		w.logf("== the faults are over, and names change on")
	}
	w.endFaults()
	before := w.tallyChunks()
	start := w.now
	for !w.caughtUp() {
		w.runUntil(w.now + 100*time.Millisecond)
		if w.now > start+w.setup.Bound {
			w.violated("CatchesUp", "not caught up %v after the faults were over: %s", w.setup.Bound,
				w.unrest())
		}
	}
	w.runUntil(w.now + 2*w.setup.Churn.Lag)
	w.fresh(w.now - w.setup.Churn.Lag)
	w.recordsBounded(before)
	w.weather = w.setup.Weather
	w.round = w.now
}

// caughtUp reports whether every node sees all others as they are, and has caught up with them.
func (w *World) caughtUp() bool {
	if w.checks > 0 {
		return false
	}
	for _, n := range w.nodes {
		for i := range n.cores {
			if n.alive && !n.cores[i].CaughtUp() {
				return false
			}
		}
	}
	return true
}

// fresh checks that all nodes know the claims and the ends of before a moment that still hold.
// (AllRegistered, NoZombie.)
func (w *World) fresh(moment time.Duration) {
	for _, name := range w.names {
		part := w.partOf[name]
		for _, holder := range w.nodes {
			r := holder.own(part, name)
			for _, n := range w.nodes {
				if !n.alive || n == holder {
					continue
				}
				claims := n.cores[part].Claims(name)
				if r != nil && w.made[r].at <= moment && !slices.Contains(claims, r) {
					w.violated("AllRegistered", "%s shows%v of %q, but %v is held since %v",
						n.name, claims, name, r, w.made[r].at)
				}
				for _, shown := range claims {
					if end, ok := w.ended[shown]; ok && shown.Node == holder.name && end <= moment {
						w.violated("NoZombie", "%s shows %v, which ended at %v", n.name, shown, end)
					}
				}
			}
		}
	}
}

// own returns a node's claim on a name, nil if it is dead.
func (n *node) own(part int, name string) *replica.Record {
	if !n.alive {
		return nil
	}
	return n.cores[part].own[name]
}

// A transfer identifies the chunks that one node got of the claims of another's run.
type transfer struct {
	to, origin  string
	incarnation uint64 // a node that raises its incarnation numbers its claims anew
}

// forgetTransfer resets the count of a transfer: a node may have to get all claims of another
// again.
func (w *World) forgetTransfer(to, origin string) {
	maps.DeleteFunc(w.chunked, func(t transfer, _ int) bool {
		return t.to == to && t.origin == origin
	})
}

// tallyChunks resets the counts of records in chunks. It returns the number of claims and
// tombstones of each origin, less the changes that it made so far.
func (w *World) tallyChunks() map[string]int {
	clear(w.chunked)
	all := make(map[string]int)
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		all[n.name] = len(n.ownNames()) - n.changes
		for i := range n.cores {
			all[n.name] += n.cores[i].Stats().Tombstones
		}
	}
	return all
}

// recordsBounded checks that a node gets each claim that there was, and each change since, once. A
// few chunks may come twice, as they were under way when the faults ended. (RecordsBounded.)
func (w *World) recordsBounded(before map[string]int) {
	const smallest = 26 // bytes that a record takes, of a chunk
	slack := 4 * w.setup.Partitions * max(1, w.setup.Limits.ChunkBytes/smallest)
	for t, got := range w.chunked {
		n := w.nodes[t.origin[1]-'a']
		if most := before[t.origin] + n.changes + slack; got > most {
			w.violated("RecordsBounded", "%s got %d records of %s, for %d claims and changes", t.to, got,
				t.origin, most-slack)
		}
	}
}

// goesOn checks that a pull never begins before the last one of its origin. (NeverAnew.)
func (n *node) goesOn(part int, q *replica.Pull) {
	v := &n.views[q.Origin[1]-'a']
	if v.asked == nil {
		v.asked = make([]asked, len(n.cores))
	}
	a := &v.asked[part]
	if a.incarnation == q.Incarnation && q.After < a.after {
		n.world.violated("NeverAnew", "%s had come to %d with %s, and asks again: %s", n.name, a.after,
			q.Origin, describe(q))
	}
	*a = asked{q.Incarnation, q.After}
}

// asked is the start of a node's last pull of another's changes.
type asked struct{ incarnation, after uint64 }
