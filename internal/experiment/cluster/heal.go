package cluster

import (
	"time"

	"github.com/snowfence/snowfence/internal/measured"
)

// A moment is what happened in one slot of a run.
type moment struct {
	loads, errors, fetches, local uint64
	unseen                        bool          // local is a guess
	p50, p99                      time.Duration // 0: nothing ended
}

// heal returns how long after from, in seconds, the run was back to what it was like before start,
// and stayed so; it does not exist if it never was. Slots are looked at by two, so that one that is
// empty by chance says nothing. The range of before is that of the second half of the time before
// the disturbance (in the first one caches fill), with some room: half as many loads more and 20
// per second, twice the latency and 100 ms. Less than two pairs in a row out of range say nothing,
// but for errors.
func heal(moments []moment, start, from time.Duration) measured.Value {
	pairs := make([]moment, len(moments)/2)
	for i := range pairs {
		a, b := moments[2*i], moments[2*i+1]
		pairs[i] = moment{loads: a.loads + b.loads, errors: a.errors + b.errors,
			fetches: a.fetches + b.fetches, p99: max(a.p99, b.p99)}
	}
	width := 2 * slot
	var most moment
	for i := int(start / 2 / width); i < int(start/width) && i < len(pairs); i++ {
		most.loads, most.errors, most.p99 = max(most.loads, pairs[i].loads),
			max(most.errors, pairs[i].errors), max(most.p99, pairs[i].p99)
	}
	most.loads += most.loads/2 + uint64(20*width.Seconds())
	most.p99 = 2*most.p99 + 100*time.Millisecond
	bad := make([]bool, len(pairs)+2) // with one before and one after
	for i, p := range pairs {
		bad[i+1] = p.loads > most.loads || p.errors > most.errors || p.p99 > most.p99
	}
	last, alive := -1, false
	for i := int(from / width); i < len(pairs); i++ {
		alive = alive || pairs[i].fetches > 0
		// One pair alone that is slow is what a busy machine does at any time. One that fails is not.
		if bad[i+1] && (bad[i] || bad[i+2] || pairs[i].errors > most.errors) {
			last = i
		}
	}
	switch {
	case !alive: // no node is left
		return measured.None()
	case last < 0:
		return 0
	case last >= len(pairs)-1:
		return measured.None()
	}
	return measured.Value(max(0, time.Duration(last+1)*width-from).Seconds())
}
