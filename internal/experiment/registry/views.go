package registry

import (
	"math"
	"math/bits"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
)

// This part of the ledger compares what each node shows, as far as its observations tell, with what
// was done.

// rebase sets the start of the run.
func (l *ledger) rebase(zero time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = zero.UnixNano()
}

// set notes whether a node runs, and forgets what it showed.
func (l *ledger) set(node int, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up[node] = up
	l.forget(node)
}

// forget empties the view of a node. mu is held.
func (l *ledger) forget(node int) {
	for _, e := range l.names {
		e.shown[node] = 0
		l.touch(e)
	}
}

// apply takes over what a node has observed, and returns when it saw the last of it, or noChange.
func (l *ledger) apply(node int, o observation) (last time.Duration) {
	last = noChange
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missed += o.Missed
	if o.Full {
		l.forget(node)
	}
	for _, c := range o.Changes {
		at := time.Duration(c.At - l.began)
		last = max(last, at)
		e := l.names[c.Name]
		if e == nil {
			continue // a stranger's, which the audit reports
		}
		e.shown[node] = c.ID
		l.touch(e)
		if c.ID != 0 {
			l.shown(node, c.ID, at, o.Full)
		}
	}
	return last
}

// shown records how long a claim took to be visible on a node. mu is held.
func (l *ledger) shown(node int, id claimID, at time.Duration, late bool) {
	c := l.claim(id)
	if c == nil || c.node == node || c.seen&(1<<node) != 0 {
		return
	}
	c.seen |= 1 << node
	if c.contested || late {
		return // one of them may never be visible; or nobody knows since when it is
	}
	took := max(at-c.asked, time.Microsecond)
	l.latency[l.line.At(c.asked)].Add(took)
	l.recent.Add(took)
}

// behind returns the number of views that are not what they must be, and how many of them are of a
// name that was not changed after a moment. It compares only what has changed since the last call.
func (l *ledger) behind(until time.Duration) (all, old int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.touched {
		e.dirty = false
		if e.behind = l.compare(e); e.behind != 0 {
			l.late[e] = struct{}{}
		} else {
			delete(l.late, e)
		}
	}
	l.touched = l.touched[:0]
	for e := range l.late {
		n := bits.OnesCount64(e.behind)
		all += n
		if e.changed <= until {
			old += n
		}
	}
	return all, old
}

// compare returns the nodes that do not show what they must of a name, a bit each. mu is held.
func (l *ledger) compare(e *entry) (behind uint64) {
	var want claimID
	if best := l.best(e.claims); best != nil {
		want = best.id
	}
	for node, up := range l.up {
		if up && e.shown[node] != want {
			behind |= 1 << node
		}
	}
	return behind
}

// An agreement finds the first moment after another from which on all views were as they must be.
type agreement struct {
	until time.Duration // what was changed until then must be seen
	at    time.Duration // since when it is, or missing
	late  bool          // it was not at some look after until
}

const (
	never    = time.Duration(math.MaxInt64)
	missing  = time.Duration(-1)
	noChange = time.Duration(math.MinInt64)
)

func newAgreement(until time.Duration) agreement { return agreement{until: until, at: missing} }

// see notes a look at the cluster. last is when any node saw its last change since the look before,
// or noChange.
func (a *agreement) see(now, last time.Duration, agreed bool) {
	switch {
	case now <= a.until:
	case !agreed:
		a.at, a.late = missing, true
	case a.reached():
	case last == noChange && a.late:
		a.at = now // what was still missing was no change of a view: a holder was told of its loss
	default:
		a.at = max(a.until, min(last, now))
	}
}

func (a *agreement) reached() bool { return a.at != missing }

// took returns how long it took, if it came about.
func (a *agreement) took() measured.Value {
	if !a.reached() {
		return measured.None()
	}
	return measured.Value((a.at - a.until).Seconds())
}
