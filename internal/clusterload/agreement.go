package clusterload

import (
	"math"
	"time"

	"github.com/snowfence/snowfence/internal/measured"
)

// An agreement is the first moment after some other from which on all views were as they must be.
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

// see notes a look at the cluster. Last is when any node saw its last change since the look before,
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

// took is how long it took, if it came about.
func (a *agreement) took() Value {
	if !a.reached() {
		return measured.None()
	}
	return Value((a.at - a.until).Seconds())
}
