package registry

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/registry"
)

// A ledger records every claim and what became of it, and what each node shows.
type ledger struct {
	oldest bool
	exact  bool // claims keep the timestamps that they were made with
	line   phase.Line

	mu        sync.Mutex // guards all below, and the claims
	claims    []*claim   // by their numbers, from 1
	names     map[string]*entry
	holders   int                 // names with a claim that is alive
	touched   []*entry            // those that are dirty
	held      []string            // names that may be released, in no order
	heldAt    map[string]int      // the index in held of each
	contested map[string][]*claim // by name
	free      []freeName          // names that were released or lost with their node, oldest first

	// See views.go.
	began   int64                        // the wall clock at the start of the run
	up      []bool                       // the nodes that run
	late    map[*entry]struct{}          // the names of which a view is behind
	latency [phase.Count]*measured.Times // until a registration was visible on another node
	recent  *measured.Times              // the same, since the last sample
	missed  uint64                       // events that no node saw
}

// An entry is a name.
type entry struct {
	claims    []*claim // that are alive
	changed   time.Duration
	contested bool

	shown  []claimID // what each node shows
	behind uint64    // the nodes that did not show what they must at the last comparison, a bit each
	dirty  bool      // it is to be compared again
}

// A claim is one registration. Times are since the start of the run.
type claim struct {
	id        claimID
	name      string
	node      int
	contested bool
	asked     time.Duration // when it was meant to be made
	time      registry.Timestamp
	state     claimState
	seen      uint64 // the nodes that have shown it, a bit each
}

// What became of a claim.
type claimState int

const (
	pending claimState = iota
	alive
	released
	conflicted // lost to another, and told so
	died       // with its node
	refused    // the name was taken
	overloaded // no room in the queue in time
	failed     // any other error of Register
	dropped    // lost for no reason that it should be lost for
)

func newLedger(oldest bool, nodes int) *ledger {
	l := &ledger{oldest: oldest, exact: true, names: make(map[string]*entry),
		heldAt: make(map[string]int), contested: make(map[string][]*claim),
		up: make([]bool, nodes), late: make(map[*entry]struct{}), recent: measured.Fine()}
	for i := range l.latency {
		l.latency[i] = measured.Fine()
	}
	return l
}

// open adds a claim that is about to be registered.
func (l *ledger) open(name string, node int, contested bool, asked time.Duration) *claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &claim{id: claimID(len(l.claims) + 1), name: name, node: node, contested: contested,
		asked: asked}
	l.claims = append(l.claims, c)
	if contested {
		l.contested[name] = append(l.contested[name], c)
	}
	if l.names[name] == nil {
		l.names[name] = &entry{contested: contested, changed: asked, shown: make([]claimID, len(l.up))}
	}
	return c
}

// registered notes that a claim was made. It may have been lost meanwhile.
func (l *ledger) registered(c *claim, at registry.Timestamp, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.time = at
	l.alive(c, now)
}

// alive adds a claim to its name, unless it has ended already. mu is held.
func (l *ledger) alive(c *claim, now time.Duration) {
	if c.state != pending {
		return
	}
	c.state = alive
	e := l.names[c.name]
	if len(e.claims) == 0 {
		l.holders++
	}
	e.claims = append(e.claims, c)
	e.changed = now
	l.touch(e)
	if !e.contested {
		l.heldAt[c.name] = len(l.held)
		l.held = append(l.held, c.name)
	}
}

// end removes a claim that is alive from its name, or settles one that never was. mu is held.
func (l *ledger) end(c *claim, why claimState, now time.Duration) {
	if c.state != alive && c.state != pending {
		return
	}
	e := l.names[c.name]
	if i := slices.Index(e.claims, c); i >= 0 {
		e.claims = slices.Delete(e.claims, i, i+1)
		if len(e.claims) == 0 {
			l.holders--
		}
		e.changed = now
		l.touch(e)
	}
	c.state = why
	if i, ok := l.heldAt[c.name]; ok {
		last := len(l.held) - 1
		l.held[i] = l.held[last]
		l.heldAt[l.held[i]] = i
		l.held = l.held[:last]
		delete(l.heldAt, c.name)
	}
	if !e.contested && why != released { // one that is released is free when that is done
		l.free = append(l.free, freeName{c.name, now})
	}
}

// settle ends a claim, if it has not ended yet.
func (l *ledger) settle(c *claim, why claimState, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(c, why, now)
}

// keep takes back that a claim is going to be released.
func (l *ledger) keep(c *claim, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.state = pending
	l.alive(c, now)
}

// freed notes that a claim's release is done: its name may be taken again.
func (l *ledger) freed(c *claim, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, freeName{c.name, now})
}

// lost ends a claim because its node reported so.
func (l *ledger) lost(x loss, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.claim(x.ID)
	if c == nil {
		return
	}
	if !x.Conflict {
		l.end(c, dropped, now)
		return
	}
	// A loser withdrew, which settles the name. No view can be behind of that.
	e := l.names[c.name]
	changed := e.changed
	l.end(c, conflicted, now)
	e.changed = changed
}

// take picks a name that is held, the i-th in no order, and ends its claim, which the caller is to
// release. It returns nil if no name is held.
func (l *ledger) take(i uint64, now time.Duration) *claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) == 0 {
		return nil
	}
	e := l.names[l.held[i%uint64(len(l.held))]]
	c := e.claims[0]
	l.end(c, released, now)
	return c
}

// A freeName is a name that nobody holds, and since when.
type freeName struct {
	name  string
	since time.Duration
}

// reuse returns the name that has been free for longest, or "" if none was by the time since.
func (l *ledger) reuse(since time.Duration) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 || l.free[0].since > since {
		return ""
	}
	name := l.free[0].name
	l.free = l.free[1:]
	return name
}

// died ends all claims of a node that was killed.
func (l *ledger) died(node int, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.claims {
		if c.node == node {
			l.end(c, died, now)
		}
	}
}

// count returns how many claims are in a state.
func (l *ledger) count(s claimState) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.claims {
		if c.state == s {
			n++
		}
	}
	return n
}

// best returns the claim that the registry's resolver prefers, nil if there is none. Nodes are
// numbered as their names are ordered.
func (l *ledger) best(claims []*claim) *claim {
	if len(claims) == 0 {
		return nil
	}
	return slices.MaxFunc(claims, func(a, b *claim) int {
		order := a.time.Compare(b.time)
		if l.oldest {
			order = -order
		}
		return cmp.Or(order, cmp.Compare(a.node, b.node))
	})
}

// touch marks a name to be compared again. mu is held.
func (l *ledger) touch(e *entry) {
	if !e.dirty {
		e.dirty = true
		l.touched = append(l.touched, e)
	}
}

// expected returns the number of names that must be visible.
func (l *ledger) expected() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holders
}

// claim returns the claim with a number, or nil for one that was never given out. mu is held.
func (l *ledger) claim(id claimID) *claim {
	if id == 0 || uint64(id) > uint64(len(l.claims)) {
		return nil
	}
	return l.claims[id-1]
}
