package registry

import (
	"fmt"
	"slices"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
)

// An Audit compares what all nodes show when the run is over with what was really done. All of its
// counts but Names should be 0.
type Audit struct {
	Names         int `json:"names"`         // that have a holder
	TwoHolders    int `json:"two_holders"`   // names with more than one claim that is alive
	Zombies       int `json:"zombies"`       // views of a claim that is not alive
	Disagreements int `json:"disagreements"` // names on which two nodes differ
	Missing       int `json:"missing"`       // views that lack a claim which is alive
	WrongWinner   int `json:"wrong_winner"`  // names held by a claim that the resolver does not prefer

	Example string `json:"example,omitempty"` // the first that is wrong, in words
}

// audit compares the views of the nodes that run with the ledger.
func (l *ledger) audit(views []map[string]claimID) *Audit {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &Audit{}
	wrong := func(count *int, format string, args ...any) {
		*count++
		if a.Example == "" {
			a.Example = fmt.Sprintf(format, args...)
		}
	}
	for name, e := range l.names {
		want := l.best(e.claims)
		if want != nil {
			a.Names++
		}
		if len(e.claims) > 1 {
			wrong(&a.TwoHolders, "%s has %d holders", name, len(e.claims))
		}
		if best := l.preferred(name); l.exact && e.contested && want != nil && best != nil &&
			best != want {
			wrong(&a.WrongWinner, "%s is held by node %d, though the claim of node %d is preferred", name,
				want.node+1, best.node+1)
		}
		shown := make(map[claimID]bool)
		for node, view := range views {
			if !l.up[node] {
				continue
			}
			id := view[name]
			shown[id] = true
			if c := l.claim(id); id != 0 && (c == nil || c.state != alive) {
				wrong(&a.Zombies, "node %d shows %s as held by a claim that is not alive", node+1, name)
			}
			if id == 0 && want != nil {
				wrong(&a.Missing, "node %d does not show %s", node+1, name)
			}
		}
		if len(shown) > 1 {
			wrong(&a.Disagreements, "the nodes do not agree on %s", name)
		}
	}
	for node, view := range views {
		for name := range view {
			if l.names[name] == nil {
				wrong(&a.Zombies, "node %d shows %s, which nobody registered", node+1, name)
			}
		}
	}
	return a
}

// preferred returns the claim on a contested name that the resolver prefers among those that were
// made and did not die with their node. mu is held.
func (l *ledger) preferred(name string) *claim {
	return l.best(slices.DeleteFunc(slices.Clone(l.contested[name]), func(c *claim) bool {
		return c.state != alive && c.state != conflicted
	}))
}

// unsettled returns the number of names with more than one claim alive: a loser was not told yet.
func (l *ledger) unsettled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for name := range l.contested {
		if len(l.names[name].claims) > 1 {
			n++
		}
	}
	return n
}

// Conflicts counts what became of the names that two nodes claimed.
type Conflicts struct {
	Names   int `json:"names"`          // that two nodes asked for
	Refused int `json:"refused"`        // one was refused: the other was visible already
	Both    int `json:"both"`           // both got their claim: a conflict
	Losers  int `json:"losers"`         // claims that had to be given up
	Told    int `json:"told"`           // losers whose holder was told so
	ByDeath int `json:"ended_by_death"` // conflicts that ended with the death of a node
	// Apart is the time between the two claims, in the median.
	Apart measured.Value `json:"apart_p50_seconds"`
}

// conflicts counts what became of contested names.
func (l *ledger) conflicts() Conflicts {
	l.mu.Lock()
	defer l.mu.Unlock()
	var c Conflicts
	apart := measured.Fine()
	for _, claims := range l.contested {
		c.Names++
		made, told, dead := 0, 0, 0
		for _, x := range claims {
			switch x.state { //nolint:exhaustive // the others were never made
			case alive, dropped:
				made++
			case conflicted:
				made++
				told++
			case died:
				dead++
			}
		}
		switch {
		case made+dead < 2:
			c.Refused++
			continue
		case dead > 0:
			c.ByDeath++
		default:
			gap := time.Duration(claims[0].time.Nanos - claims[1].time.Nanos)
			apart.Add(max(gap.Abs(), time.Microsecond))
		}
		c.Both++
		c.Losers += max(0, made-1)
		c.Told += told
	}
	c.Apart = apart.Quantile(50)
	return c
}
