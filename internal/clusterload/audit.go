package clusterload

import (
	"context"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
)

// An Audit is what all nodes show when the run is over, held against what was really done. All of
// its counts but Names should be 0.
type Audit struct {
	Names         int `json:"names"`         // that have a holder
	TwoHolders    int `json:"two_holders"`   // names with more than one claim that is alive
	Zombies       int `json:"zombies"`       // views of a claim that is not alive
	Disagreements int `json:"disagreements"` // names on which two nodes differ
	Missing       int `json:"missing"`       // views that lack a claim which is alive
	// names with a claim alive which the resolver does not prefer
	WrongWinner int `json:"wrong_winner"`

	Example string `json:"example,omitempty"` // the first that is wrong, in words
}

// audit asks every node for all that it shows.
func (r *run) audit(ctx context.Context) ([]map[string]claimID, error) {
	limited, cancel := context.WithTimeout(ctx, 2*observeTimeout)
	defer cancel()
	views := make([]map[string]claimID, len(r.cluster.members))
	for i, m := range r.cluster.members {
		n, _ := m.get()
		if n == nil {
			continue
		}
		var err error
		if views[i], err = n.View(limited); err != nil {
			return nil, fmt.Errorf("the view of %s: %w", m.name, err)
		}
	}
	return views, nil
}

// audit holds the views of the nodes that are up against the ledger.
func (l *ledger) audit(views []map[string]claimID, up []bool) *Audit {
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
		want := l.winner(e)
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
		var shown claimID
		first, differ := true, false
		for node, view := range views {
			if !up[node] {
				continue
			}
			id := view[name]
			if !first && id != shown {
				differ = true
			}
			first, shown = false, id
			if c := l.claim(id); id != 0 && (c == nil || c.state != alive) {
				wrong(&a.Zombies, "node %d shows %s as held by a claim that is not alive", node+1, name)
			}
			if id == 0 && want != nil {
				wrong(&a.Missing, "node %d does not show %s", node+1, name)
			}
		}
		if differ {
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
	var best *claim
	for _, c := range l.contested[name] {
		if (c.state == alive || c.state == conflicted) && (best == nil || l.beats(c, best)) {
			best = c
		}
	}
	return best
}

// unsettled counts the names with more than one claim alive: a loser has not been told.
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

// Conflicts is what became of the names that two nodes claimed.
type Conflicts struct {
	Names int `json:"names"` // that two nodes asked for
	// of which one was refused at once: the other was visible already
	Refused int   `json:"refused"`
	Both    int   `json:"both"`              // of which both got their claim: a conflict
	Losers  int   `json:"losers"`            // claims that had to be given up
	Told    int   `json:"told"`              // whose holder was told so
	ByDeath int   `json:"ended_by_death"`    // conflicts that ended with the death of a node
	Apart   Value `json:"apart_p50_seconds"` // how far apart two claims were made, in the median
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
			apart.Add(time.Duration(abs(claims[0].time.Nanos - claims[1].time.Nanos)))
		}
		c.Both++
		c.Losers += max(0, made-1)
		c.Told += told
	}
	c.Apart = apart.Quantile(50)
	return c
}

func abs(ns int64) int64 { return max(ns, -ns, int64(time.Microsecond)) }
