package cluster

import (
	"math"
	"time"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/phase"
	"github.com/snowfence/snowfence/internal/measured"
	"github.com/snowfence/snowfence/internal/series"
)

// result puts together what was measured in a run whose load lasted so long.
func (r *run) result(ran time.Duration) *Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := &Run{Ownership: r.ownership, Victims: append([]string{}, r.victims...),
		Seconds: measured.Value(ran.Seconds())}
	loads := r.origin.recorded()
	t := newTimeline(r.p, ran)
	due := make(map[int][]time.Duration)
	for _, p := range r.all {
		p.mu.Lock()
		s := p.last
		x.Fetches += s.Begun
		if ended := uint64(len(p.records)); s.Begun > ended {
			x.Lost += s.Begun - ended
			if !p.leaving {
				x.Late += s.Begun - ended // it has not ended, and its process is there
			}
		}
		x.Lost += s.Missed
		x.Wrong, x.Stale, x.Late = x.Wrong+s.Wrong, x.Stale+s.Stale, x.Late+s.Late
		if x.Failure == "" {
			x.Failure = s.Failure
		}
		x.Stats.add(s.Stats, p.first)
		for _, one := range p.records {
			if one.Error == "" && !r.origin.gave(keyName(one.Key), one.Version) {
				x.Wrong++
			}
			t.fetched(one)
			due[one.Key] = append(due[one.Key], one.Due)
		}
		p.mu.Unlock()
	}
	if r.p.Disturb == lab.Poison {
		x.Poison = r.poisoned()
	}
	for _, times := range due {
		x.Loads.Ideal += ideal(times, r.p.TTL)
	}
	starts := make(map[string][]time.Duration)
	for _, load := range loads {
		starts[load.key] = append(starts[load.key], load.start)
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
	x.Loads.PerKey = measured.None()
	if x.Loads.Keys > 0 {
		x.Loads.PerKey = measured.Value(float64(x.Loads.Total) / float64(x.Loads.Keys))
	}
	t.sampled(r.samples)
	x.Before, x.During, x.After = t.phases[phase.Before].result(),
		t.phases[phase.During].result(), t.phases[phase.After].result()
	x.Heal = measured.None()
	if r.p.Disturb != lab.Calm && r.ended > 0 {
		x.Heal = heal(t.moments(), r.p.Start, r.ended)
	}
	x.Series = t.series()
	return x
}

// poisoned looks at what became of the fetches of the poisoned key and of the others. mu is held.
func (r *run) poisoned() *PoisonResult {
	x := &PoisonResult{Deaths: len(r.victims), Again: measured.None()}
	first, last := time.Duration(-1), time.Duration(-1) // that was served since, and that failed
	for _, p := range r.all {
		p.mu.Lock()
		for _, one := range p.records {
			switch {
			case one.Error != "" && one.Key != poisonKey:
				x.Others++
			case one.Key != poisonKey:
			case one.Error != "":
				x.Refused++
				last = max(last, one.Due)
			case one.Due >= r.ended && r.ended > 0:
				if first < 0 || one.Due < first {
					first = one.Due
				}
			}
		}
		p.mu.Unlock()
	}
	if first >= 0 {
		x.Again = measured.Value(max(first, last).Seconds() - r.ended.Seconds())
	}
	return x
}

func (s *Stats) add(a, first Stats) {
	s.Hits, s.Misses = s.Hits+a.Hits, s.Misses+a.Misses
	s.Loads, s.LocalLoads, s.Asked = s.Loads+a.Loads, s.LocalLoads+a.LocalLoads, s.Asked+a.Asked
	s.AskFailures, s.Held, s.Lost = s.AskFailures+a.AskFailures, s.Held+a.Held, s.Lost+a.Lost
	s.Moved += a.Moved - first.Moved
}

// A timeline is what happened when: in slots, and in the phases before, during and after the
// disturbance. A fetch belongs to when it was to begin.
type timeline struct {
	line   phase.Line
	slots  []*part
	phases [phase.Count]*part
}

// A part is what happened in a part of a run.
type part struct {
	seconds        float64
	loads, fetches uint64
	local          uint64
	unseen         bool // there was no sample, so local is a guess
	errors         map[string]uint64
	latency        measured.Times
}

func newPart(d time.Duration) *part {
	return &part{seconds: d.Seconds(), errors: make(map[string]uint64)}
}

// newTimeline returns the timeline of a run. Without a disturbance all of it is before one; what was
// killed for good stays away to the end.
func newTimeline(p *Params, ran time.Duration) *timeline {
	t := &timeline{line: phase.Line{Start: p.Start, End: p.End, Stop: p.Duration}}
	if p.Disturb == lab.Calm {
		t.line.Start, t.line.End = math.MaxInt64, math.MaxInt64
	}
	for at := time.Duration(0); at < ran; at += slot {
		t.slots = append(t.slots, newPart(slot))
	}
	for i := range phase.Count {
		t.phases[i] = newPart(t.line.Length(i, ran))
	}
	return t
}

// at calls f for the slot and the phase of a time.
func (t *timeline) at(when time.Duration, f func(*part)) {
	if i := int(when / slot); when >= 0 && i < len(t.slots) {
		f(t.slots[i])
	}
	f(t.phases[t.line.At(max(0, when))])
}

func (t *timeline) fetched(one record) {
	t.at(one.Due, func(p *part) {
		p.fetches++
		p.latency.Add(one.Latency)
		if one.Error != "" {
			p.errors[one.Error]++
		}
	})
}

func (t *timeline) loaded(at time.Duration) { t.at(max(0, at), func(p *part) { p.loads++ }) }

// sampled spreads what was counted between two samples evenly over the time between them. Of slots
// in which there was no sample at all nothing is known: of those the series has a gap.
func (t *timeline) sampled(samples []countSample) {
	var before countSample
	for _, s := range samples {
		n := s.local - min(s.local, before.local)
		first, last := before.at/slot, s.at/slot
		for i := first; i <= last; i++ {
			share := n / uint64(last-i+1) //nolint:gosec // at least 1
			n -= share
			when, inside := i*slot, false //nolint:durationcheck // i is a number of slots
			switch i {
			case last:
				when = s.at
			case first:
				when = before.at
			default:
				inside = true
			}
			t.at(when, func(p *part) {
				p.local += share
				p.unseen = p.unseen || inside
			})
		}
		before = s
	}
}

func (p *part) failed() (n uint64) {
	for _, k := range p.errors {
		n += k
	}
	return n
}

func (p *part) result() Phase {
	x := Phase{Seconds: measured.Value(p.seconds), Fetches: p.fetches,
		Latency: p.latency.Spread(), P999: p.latency.Quantile(99.9), Loads: p.loads}
	if len(p.errors) > 0 {
		x.Errors = p.errors
	}
	return x
}

func (t *timeline) moments() []moment {
	list := make([]moment, len(t.slots))
	for i, p := range t.slots {
		list[i] = moment{loads: p.loads, errors: p.failed(), fetches: p.fetches, local: p.local,
			unseen: p.unseen, p50: p.latency.At(50), p99: p.latency.At(99)}
	}
	return list
}

func (t *timeline) series() []series.Series {
	record := series.NewRecorder(seriesLoads, seriesP50, seriesP99, seriesErrors, seriesFetches,
		seriesLocal)
	for i, m := range t.moments() {
		at := time.Duration(i)*slot + slot/2
		perSecond := func(n uint64) float64 { return float64(n) / slot.Seconds() }
		record.Add(seriesLoads, at, perSecond(m.loads))
		record.Add(seriesErrors, at, perSecond(m.errors))
		record.Add(seriesFetches, at, perSecond(m.fetches))
		local := perSecond(m.local)
		if m.unseen {
			local = float64(measured.None()) // a gap
		}
		record.Add(seriesLocal, at, local)
		p50, p99 := measured.None(), measured.None() // a gap: nothing was to begin, or nothing ended
		if m.fetches > 0 {
			p50, p99 = measured.Value(m.p50.Seconds()), measured.Value(m.p99.Seconds())
		}
		record.Add(seriesP50, at, float64(p50))
		record.Add(seriesP99, at, float64(p99))
	}
	return record.All()
}
