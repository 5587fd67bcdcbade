package registry

import (
	"slices"
	"sync"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// A ledger is what really happened: every claim, and what became of it.
type ledger struct {
	oldest bool
	exact  bool // claims keep the timestamps that they were made with
	nodes  int

	mu        sync.Mutex // guards all below, and the claims
	claims    []*claim   // the number of a claim is its place, from 1
	names     map[string]*entry
	holders   int                 // names with a claim that is alive
	touched   []*entry            // that are dirty
	held      []string            // names that may be released, in no order
	heldAt    map[string]int      // where they stand in held
	contested map[string][]*claim // by name
	free      []freeName          // names that were released or lost with their node, oldest first
}

// An entry is a name.
type entry struct {
	claims    []*claim // that are alive
	changed   time.Duration
	contested bool

	shown []claimID // what each node shows
	// the nodes that do not show what they must, a bit each, when it was looked at last
	behind uint64
	dirty  bool // it is to be looked at again
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
	states
)

func newLedger(oldest bool, nodes int) *ledger {
	return &ledger{oldest: oldest, nodes: nodes, exact: true, names: make(map[string]*entry),
		heldAt: make(map[string]int), contested: make(map[string][]*claim)}
}

// open makes a claim that is about to be registered.
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
		l.names[name] = &entry{contested: contested, changed: asked, shown: make([]claimID, l.nodes)}
	}
	return c
}

// registered settles a claim that was registered. It may have been lost meanwhile.
func (l *ledger) registered(c *claim, at registry.Timestamp, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.time = at
	l.alive(c, now)
}

// alive puts a claim into its name, unless it has ended already. mu is held.
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

// refused settles a claim that was not registered.
func (l *ledger) refused(c *claim, why claimState, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.state != pending {
		return
	}
	c.state = why
	if !c.contested {
		l.free = append(l.free, freeName{c.name, now})
	}
}

// end takes a claim that is alive, or about to be, out of its name. mu is held.
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
	}
	l.touch(e)
	c.state = why
	e.changed = now
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

// settle ends a claim if it is not settled yet.
func (l *ledger) settle(c *claim, why claimState, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(c, why, now)
}

// keep puts back a claim that was taken but will not be released.
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

// lost notes that a node reported the end of a claim.
func (l *ledger) lost(x loss, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.claim(x.ID)
	if c == nil {
		return
	}
	// That a loser withdrew is what its name is settled by, but nothing that a view could be behind
	// of.
	changed := l.names[c.name].changed
	why := dropped
	if x.Conflict {
		why = conflicted
	}
	l.end(c, why, now)
	if x.Conflict {
		l.names[c.name].changed = changed
	}
}

// take picks a name that is held, the i-th in no order, and ends its claim. It returns nil if none
// is.
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

// reuse returns a name that has been free since some time, or "".
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
func (l *ledger) died(node int, now time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, c := range l.claims {
		if c.node == node && (c.state == alive || c.state == pending) {
			l.end(c, died, now)
			n++
		}
	}
	return n
}

// winner returns the claim that must be visible, or nil. mu is held.
func (l *ledger) winner(e *entry) *claim {
	var best *claim
	for _, c := range e.claims {
		if best == nil || l.beats(c, best) {
			best = c
		}
	}
	return best
}

// beats is what the resolvers of package registry do. Nodes are numbered as their names are
// ordered.
func (l *ledger) beats(a, b *claim) bool {
	order := a.time.Compare(b.time)
	if l.oldest {
		order = -order
	}
	return order > 0 || order == 0 && a.node > b.node
}

// touch notes that a name is to be looked at again. mu is held.
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
