package debug

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/stacks"
)

const (
	// maxSeen bounds the flights, and the resting keys, of a source that a view looks at.
	maxSeen = 100_000
	// stackAge is the age from which flights have stacks. Most flights are over sooner.
	stackAge  = 100 * time.Millisecond
	maxPlaces = 5
	maxHot    = 10
	// leastSample is the number of sampled hits from which shares of them mean something.
	leastSample = 20
	maxWaits    = 8 // keys that one flight waits for
)

// collect makes the section of a source. It holds no lock of the handler, and calls functions of
// the user, so it may hang or panic.
func (h *Handler) collect(s *source) *Section {
	v := &Section{Name: clean(s.name, maxKey)}
	state, c := s.of.State(maxHot), s.of.Inspect()
	v.Kind, v.Courier = state.Kind, clean(c.Name(), maxKey)
	v.setCounts(s, state.Counts, time.Now())
	v.Flights = h.flights(c)
	v.Resting = h.resting(c)
	for _, f := range c.Slowest() {
		v.Slowest = append(v.Slowest, Slow{h.keyText(f.Key, f.KeyText), f.Took.Seconds(),
			f.End.String(), f.Ended})
	}
	timings := c.Timings()
	for _, end := range slices.Sorted(maps.Keys(timings.Flights)) {
		d := newDuration(timings.Flights[end])
		d.End = end.String()
		v.Loads = append(v.Loads, d)
	}
	if timings.Waits.Count > 0 {
		d := newDuration(&timings.Waits)
		v.Waits = &d
	}
	if hot := state.Hottest; hot != nil {
		v.Hottest = &Hottest{Sampled: hot.Sampled, Keys: []HotKey{}}
		if hot.Sampled < leastSample {
			hot.Keys = nil
		}
		for _, k := range hot.Keys {
			v.Hottest.Keys = append(v.Hottest.Keys,
				HotKey{h.keyText(k.Key, k.KeyText), float64(k.Hits) / float64(hot.Sampled)})
		}
	}
	for _, m := range state.Members[:min(len(state.Members), maxRows)] {
		m.Node, m.URL = clean(m.Node, maxKey), clean(m.URL, maxWhere)
		m.Differs, m.Failure = clean(m.Differs, maxError), clean(m.Failure, maxError)
		v.Members = append(v.Members, m)
	}
	for _, k := range state.Suspects[:min(len(state.Suspects), h.o.Rows)] {
		k.KeyText = h.keyText(k.Key, k.KeyText)
		k.Trier, k.Died = clean(k.Trier, maxKey), slices.Clone(k.Died)
		for i, node := range k.Died {
			k.Died[i] = clean(node, maxKey)
		}
		v.Suspects = append(v.Suspects, k)
	}
	v.findAttention(h.o.Slow)
	return v
}

// A seen is a flight that was looked at, with what identifies its goroutines.
type seen struct {
	courier.Flight
	began time.Time
}

// flights returns the flights of c.
func (h *Handler) flights(c courier.Inspector) *Flights {
	v := &Flights{States: make(map[string]int)}
	var oldest []seen // more than there are rows for, unsorted
	var hang []seen   // only Label, Age and began
	olderFirst := func(a, b seen) int { return cmp.Compare(b.Age, a.Age) }
	for f := range c.Flights() {
		if v.Total == maxSeen {
			v.AtLeast = true
			break
		}
		v.Total++
		v.States[f.State.String()]++
		s := seen{f, time.Now().Add(-f.Age)}
		if f.Age >= stackAge && f.State != courier.Queued {
			hang = append(hang, seen{courier.Flight{Age: f.Age, Label: f.Label}, s.began})
		}
		if oldest = append(oldest, s); len(oldest) >= 4*h.o.Rows {
			slices.SortFunc(oldest, olderFirst)
			oldest = oldest[:h.o.Rows]
		}
	}
	slices.SortFunc(oldest, olderFirst)
	oldest = oldest[:min(len(oldest), h.o.Rows)]
	v.Rows, v.More = make([]Flight, len(oldest)), v.Total-len(oldest)
	for i := range oldest {
		f := &oldest[i]
		row := Flight{
			Key: h.keyText(f.Key, f.KeyText), AgeSeconds: f.Age.Seconds(), Waiters: f.Waiters,
			State: f.State.String(), Label: f.Label,
		}
		for i, key := range f.WaitsFor[:min(len(f.WaitsFor), maxWaits)] {
			row.WaitsFor = append(row.WaitsFor, h.keyText(key, f.WaitsForText[i]))
		}
		v.Rows[i] = row
	}
	if len(hang) > 0 {
		v.addStacks(oldest, hang, stacks.Recent(&h.bubble))
	}
	return v
}

// addStacks adds the stacks of flights, of which shown have rows. hang has all flights that are old
// enough.
func (v *Flights) addStacks(shown, hang []seen, all *stacks.Snapshot) {
	places := make(map[string]*Place)
	for i := range hang {
		f := &hang[i]
		stack, err := all.Of(f.Label, f.began)
		if err != nil {
			continue
		}
		where := clean(stack.Where, maxWhere)
		p := places[where]
		if p == nil {
			p = &Place{Where: where}
			places[where] = p
		}
		p.Flights++
		p.OldestSeconds = max(p.OldestSeconds, f.Age.Seconds())
	}
	for _, p := range places {
		v.Places = append(v.Places, *p)
	}
	slices.SortFunc(v.Places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.Flights, a.Flights), cmp.Compare(b.OldestSeconds, a.OldestSeconds),
			cmp.Compare(a.Where, b.Where))
	})
	v.Places = v.Places[:min(len(v.Places), maxPlaces)]
	room := maxStacks
	for i := range shown {
		f := &shown[i]
		row := &v.Rows[i]
		if f.State == courier.Queued {
			row.NoStack = "it waits for its turn (courier.WithMaxConcurrent)"
			continue
		}
		if f.Age < stackAge {
			continue
		}
		stack, err := all.Of(f.Label, f.began)
		if err != nil {
			row.NoStack = err.Error()
			continue
		}
		row.Where, row.Leaked = clean(stack.Where, maxWhere), stack.Leaked
		if text := cutLines(string(stack.Text), maxStack); len(text) <= room {
			row.Stack = text
			room -= len(text)
		}
	}
}

// resting returns the keys of c that back off.
func (h *Handler) resting(c courier.Inspector) *Resting {
	v := &Resting{Rows: []RestRow{}}
	var all []courier.RestingKey
	for r := range c.Resting() {
		if all = append(all, r); len(all) == maxSeen {
			break
		}
	}
	slices.SortFunc(all, func(a, b courier.RestingKey) int {
		return cmp.Or(cmp.Compare(b.Failures, a.Failures), b.Until.Compare(a.Until))
	})
	v.Total = len(all)
	all = all[:min(len(all), h.o.Rows)]
	v.More = v.Total - len(all)
	for _, r := range all {
		v.Rows = append(v.Rows, RestRow{
			h.keyText(r.Key, r.KeyText), r.Failures, h.errorText(c, r.Key, r.Err), r.Until,
		})
	}
	return v
}

// newDuration summarises d. Its buckets are merged, one for each doubling.
func newDuration(d *courier.Histogram) Duration {
	v := Duration{
		Count: d.Count, Mean: d.Sum.Seconds() / float64(max(1, d.Count)), Buckets: []Bucket{},
		P50: d.Quantile(0.5).Seconds(), P90: d.Quantile(0.9).Seconds(), P99: d.Quantile(0.99).Seconds(),
	}
	for i, n := range d.Buckets() {
		v.Max = courier.UpperBound(i)
		bound := math.Exp2(math.Ceil(math.Log2(v.Max) - 1e-9))
		if last := len(v.Buckets) - 1; last >= 0 && v.Buckets[last].Seconds == bound {
			v.Buckets[last].Count += n
		} else {
			v.Buckets = append(v.Buckets, Bucket{bound, n})
		}
	}
	return v
}
