package clusterload

import (
	"math/bits"
	"time"

	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/measured"
)

// views compares what each node shows, as far as its observations tell, with the ledger. It belongs
// to the sampler's goroutine.
type views struct {
	ledger  *ledger
	line    phase.Line
	began   int64 // the wall clock at the start of the run
	up      []bool
	late    map[*entry]struct{}          // the names of which a view is behind
	latency [phase.Count]*measured.Times // until a registration was visible on another node
	recent  *measured.Times              // the same, since the last sample
	missed  uint64
}

func newViews(l *ledger, line phase.Line) *views {
	v := &views{ledger: l, line: line, up: make([]bool, l.nodes), late: make(map[*entry]struct{}),
		recent: measured.Fine()}
	for i := range v.latency {
		v.latency[i] = measured.Fine()
	}
	return v
}

// rebase sets the start of the run.
func (v *views) rebase(zero time.Time) { v.began = zero.UnixNano() }

// set says whether a node is up. What it showed is forgotten.
func (v *views) set(node int, up bool) {
	v.ledger.mu.Lock()
	defer v.ledger.mu.Unlock()
	v.up[node] = up
	v.forget(node)
}

// forget empties the view of a node. The ledger is locked.
func (v *views) forget(node int) {
	for _, e := range v.ledger.names {
		e.shown[node] = 0
		v.ledger.touch(e)
	}
}

// apply takes over what a node has observed, and returns when it saw the last of it, or noChange.
func (v *views) apply(node int, o observation) (last time.Duration) {
	last = noChange
	v.missed += o.Missed
	v.ledger.mu.Lock()
	defer v.ledger.mu.Unlock()
	if o.Full {
		v.forget(node)
	}
	for _, c := range o.Changes {
		at := time.Duration(c.At - v.began)
		last = max(last, at)
		e := v.ledger.names[c.Name]
		if e == nil {
			continue // a stranger's, which the audit reports
		}
		e.shown[node] = c.ID
		v.ledger.touch(e)
		if c.ID != 0 {
			v.shown(node, c.ID, at, o.Full)
		}
	}
	return last
}

// shown notes how long a claim took to be visible on a node. The ledger is locked.
func (v *views) shown(node int, id claimID, at time.Duration, late bool) {
	c := v.ledger.claim(id)
	if c == nil || c.node == node || c.seen&(1<<node) != 0 {
		return
	}
	c.seen |= 1 << node
	if c.contested || late {
		return // one of them may never be visible; or nobody knows since when it is
	}
	took := max(at-c.asked, time.Microsecond)
	v.latency[v.line.At(c.asked)].Add(took)
	v.recent.Add(took)
}

// behind counts the views that are not what they must be, and those among them whose name was
// changed until a moment and not since. Only what has changed since it was last called is looked
// at.
func (v *views) behind(until time.Duration) (all, old int) {
	l := v.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.touched {
		e.dirty = false
		if e.behind = v.compare(e); e.behind != 0 {
			v.late[e] = struct{}{}
		} else {
			delete(v.late, e)
		}
	}
	l.touched = l.touched[:0]
	for e := range v.late {
		n := bits.OnesCount64(e.behind)
		all += n
		if e.changed <= until {
			old += n
		}
	}
	return all, old
}

// compare returns the nodes that do not show of a name what they must. The ledger is locked.
func (v *views) compare(e *entry) (behind uint64) {
	var want claimID
	if w := v.ledger.winner(e); w != nil {
		want = w.id
	}
	for node, up := range v.up {
		if up && e.shown[node] != want {
			behind |= 1 << node
		}
	}
	return behind
}
