package cluster

import (
	"math"
	"slices"
	"time"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
)

// result puts together what was measured in a run whose load lasted for ran. All processes have
// ended, so nothing changes any more.
func (r *run) result(ran time.Duration) *Run {
	x := &Run{Ownership: r.ownership, Victims: append([]string{}, r.victims...),
		Seconds: measured.Value(ran.Seconds())}
	loads := r.origin.recorded()
	t := newTimeline(r.p, ran)
	due := make(map[int][]time.Duration)
	for _, p := range r.all {
		s := p.last
		x.Fetches += s.Begun
		x.Lost += s.Missed + s.Begun - min(s.Begun, uint64(len(p.records)))
		x.Wrong, x.Stale, x.Late = x.Wrong+s.Wrong, x.Stale+s.Stale, x.Late+s.Late
		if x.Failure == "" {
			x.Failure = s.Failure
		}
		x.Stats.add(s.Stats)
		x.Stats.Moved -= p.moved
		for _, one := range p.records {
			if one.Error == "" && !r.origin.gave(keyName(one.Key), one.Version) {
				x.Wrong++
			}
			t.fetched(one)
			due[one.Key] = append(due[one.Key], one.Due)
		}
	}
	if r.p.Disturb == lab.Poison {
		x.Poison = r.poisoned()
	}
	for _, times := range due {
		x.Loads.Ideal += ideal(times, r.p.TTL)
	}
	starts := make(map[string][]time.Duration)
	for _, load := range loads {
		starts[load.Key] = append(starts[load.Key], load.start)
		t.loaded(load.start)
	}
	for _, times := range starts {
		x.Loads.Same = same(x.Loads.Same, times, r.p.TTL)
	}
	x.Loads.Total, x.Loads.Keys = uint64(len(loads)), len(starts)
	if r.p.Capacity >= r.p.KeyCount { // else values are evicted at any time
		r.giveUp(loads)
		x.Loads.Reasons, x.Loads.Broken = r.evidence(ran).explain(loads)
	}
	x.Loads.PerKey = measured.Value(float64(x.Loads.Total) / float64(x.Loads.Keys))
	t.sampled(r.samples)
	x.Before, x.During, x.After = t.phases[phase.Before].done(), t.phases[phase.During].done(),
		t.phases[phase.After].done()
	x.Heal = measured.None()
	if r.p.Disturb != lab.Calm && r.ended > 0 {
		x.Heal = r.healedTogether(heal(t.moments(), r.p.Start, r.ended))
	}
	x.Series = t.series()
	return x
}

// healedTogether returns how long it took to heal, given what the fetches showed of it. After a
// disturbance that ends with all nodes in place they must see each other again, too: loads and
// latencies of a split that never ends look much like those before.
func (r *run) healedTogether(healed measured.Value) measured.Value {
	switch r.p.Disturb {
	case lab.Split, lab.Pause, lab.Restart, lab.Rolling:
	default:
		return healed
	}
	if n := len(r.samples); n == 0 || r.apart >= r.samples[n-1].at {
		return measured.None()
	}
	if !healed.Exists() {
		return healed
	}
	return max(healed, measured.Value((r.apart - r.ended).Seconds()))
}

// poisoned returns what became of the fetches of the poisoned key, and of the others.
func (r *run) poisoned() *PoisonResult {
	x := &PoisonResult{Deaths: len(r.victims), Again: measured.None()}
	served, failed := unended, time.Duration(0) // the first since it was harmless, and the last
	for _, p := range r.all {
		for _, one := range p.records {
			switch {
			case one.Error != "" && one.Key != poisonKey:
				x.Others++
			case one.Key != poisonKey:
			case one.Error != "":
				x.Refused++
				failed = max(failed, one.Due)
			case r.ended > 0 && one.Due >= r.ended:
				served = min(served, one.Due)
			}
		}
	}
	if served < unended {
		x.Again = measured.Value((max(served, failed) - r.ended).Seconds())
	}
	return x
}

func (s *Stats) add(a Stats) {
	s.Hits, s.Misses = s.Hits+a.Hits, s.Misses+a.Misses
	s.Loads, s.LocalLoads, s.Asked = s.Loads+a.Loads, s.LocalLoads+a.LocalLoads, s.Asked+a.Asked
	s.AskFailures, s.Held = s.AskFailures+a.AskFailures, s.Held+a.Held
	s.Moved, s.Lost = s.Moved+a.Moved, s.Lost+a.Lost
}

// A timeline collects what happened when: by interval, and before, during and after the
// disturbance. A fetch belongs to the time at which it was to begin.
type timeline struct {
	line      phase.Line
	intervals []*part
	phases    [phase.Count]*part
}

// A part collects what happened in a part of a run. Its Latency and P999 are set by done.
type part struct {
	Phase
	times  measured.Times
	local  uint64 // loads without the owner
	unseen bool   // no sample was taken, so local is a guess
}

// newTimeline returns the timeline of a run. Without a disturbance all of it is before one; what
// was killed for good stays away to the end.
func newTimeline(p *Params, ran time.Duration) *timeline {
	t := &timeline{line: phase.Line{Start: p.Start, End: p.End, Stop: p.Duration}}
	if p.Disturb == lab.Calm {
		t.line.Start, t.line.End = math.MaxInt64, math.MaxInt64
	}
	for at := time.Duration(0); at < ran; at += interval {
		t.intervals = append(t.intervals, &part{})
	}
	for i := range phase.Count {
		t.phases[i] = &part{Phase: Phase{Seconds: measured.Value(t.line.Length(i, ran).Seconds())}}
	}
	return t
}

// at calls f for the interval and the phase of a time.
func (t *timeline) at(when time.Duration, f func(*part)) {
	when = max(0, when)
	if i := int(when / interval); i < len(t.intervals) {
		f(t.intervals[i])
	}
	f(t.phases[t.line.At(when)])
}

func (t *timeline) fetched(one record) {
	t.at(one.Due, func(p *part) {
		p.Fetches++
		p.times.Add(one.Latency)
		if one.Error == "" {
			return
		}
		if p.Errors == nil {
			p.Errors = make(map[string]uint64)
		}
		p.Errors[one.Error]++
	})
}

func (t *timeline) loaded(at time.Duration) { t.at(at, func(p *part) { p.Loads++ }) }

// sampled spreads what was counted between two samples evenly over the intervals between them. If
// an interval had no sample at all, the series has a gap there.
func (t *timeline) sampled(samples []countSample) {
	var before countSample
	for _, s := range samples {
		n := s.local - min(s.local, before.local)
		first, last := max(0, int(before.at/interval)), min(int(s.at/interval), len(t.intervals)-1)
		for i := first; i <= last; i++ {
			share := n / uint64(last-i+1) //nolint:gosec // at least 1
			n -= share
			t.intervals[i].local += share
			t.intervals[i].unseen = t.intervals[i].unseen || first < i && i < last
		}
		before = s
	}
}

// done returns what happened in the part.
func (p *part) done() Phase {
	p.Latency, p.P999 = p.times.Spread(), p.times.Quantile(99.9)
	return p.Phase
}

func (t *timeline) moments() []moment {
	list := make([]moment, len(t.intervals))
	for i, p := range t.intervals {
		list[i] = moment{p.Loads, p.errors(), p.Fetches, p.times.At(99)}
	}
	return list
}

func (t *timeline) series() []series.Series {
	record := series.NewRecorder(seriesLoads, seriesP50, seriesP99, seriesErrors, seriesFetches,
		seriesLocal)
	perSecond := func(n uint64) float64 { return float64(n) / interval.Seconds() }
	for i, p := range t.intervals {
		at := time.Duration(i)*interval + interval/2
		local := perSecond(p.local)
		if p.unseen {
			local = float64(measured.None())
		}
		record.Add(seriesLoads, at, perSecond(p.Loads))
		record.Add(seriesErrors, at, perSecond(p.errors()))
		record.Add(seriesFetches, at, perSecond(p.Fetches))
		record.Add(seriesLocal, at, local)
		record.Add(seriesP50, at, float64(p.times.Quantile(50))) // a gap where nothing ended
		record.Add(seriesP99, at, float64(p.times.Quantile(99)))
	}
	return record.All()
}

// A moment says what happened in one interval of a run.
type moment struct {
	loads, errors, fetches uint64
	p99                    time.Duration // 0: nothing ended
}

// heal returns how long after from, in seconds, the run was as before start, and stayed so. The
// value does not exist if that did not happen.
//
// Intervals are taken in pairs, so that one that is empty by chance says nothing. The range of
// before is that of the second half of the time before the disturbance (in the first one caches
// fill), with some room: half as many loads more and 20 per second, twice the latency and 100 ms. A
// busy machine makes a pair slow at any time, so one pair alone out of range counts for its errors
// only.
func heal(moments []moment, start, from time.Duration) measured.Value {
	pairs := make([]moment, len(moments)/2)
	for i := range pairs {
		a, b := moments[2*i], moments[2*i+1]
		pairs[i] = moment{a.loads + b.loads, a.errors + b.errors, a.fetches + b.fetches,
			max(a.p99, b.p99)}
	}
	width := 2 * interval
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
		if bad[i+1] && (bad[i] || bad[i+2] || pairs[i].errors > most.errors) {
			last = i
		}
	}
	switch {
	case !alive || last >= 0 && last >= len(pairs)-1:
		return measured.None()
	case last < 0:
		return 0
	}
	return measured.Value(max(0, time.Duration(last+1)*width-from).Seconds())
}

// ideal returns how many loads one cache for all would need for the fetches of a key that were to
// begin at these times: one for each that finds the load before older than ttl. With ttl 0 the
// first is enough.
func ideal(due []time.Duration, ttl time.Duration) (n uint64) {
	slices.Sort(due)
	var loaded time.Duration
	for _, t := range due {
		if n == 0 || ttl > 0 && t-loaded >= ttl {
			n, loaded = n+1, t
		}
	}
	return n
}

// same adds to counts[n-1] how often a key was loaded n times within one ttl. A ttl begins with the
// first load that is not within the one before.
func same(counts []uint64, loads []time.Duration, ttl time.Duration) []uint64 {
	for len(loads) > 0 {
		n := 1
		for n < len(loads) && (ttl == 0 || loads[n]-loads[0] < ttl) {
			n++
		}
		for len(counts) < n {
			counts = append(counts, 0)
		}
		counts[n-1]++
		loads = loads[n:]
	}
	return counts
}
