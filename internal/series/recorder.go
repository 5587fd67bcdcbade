package series

import (
	"math"
	"sync"
	"time"
)

// Recorder collects series while a run goes on. The zero value is not ready;
// use [NewRecorder]. All methods are safe for concurrent use. Memory grows by
// 16 bytes for each sample, so the caller's interval sets what a run costs.
type Recorder struct {
	// mu guards all fields below.
	mu     sync.Mutex
	index  map[string]int
	series []Series
	last   time.Duration // the time of the last sample, see Next
}

// NewRecorder makes a recorder. The names fix the order of the series; a name
// that is first seen in Add comes after them.
func NewRecorder(names ...string) *Recorder {
	r := &Recorder{index: make(map[string]int)}
	for _, name := range names {
		r.at(name)
	}
	return r
}

// Add notes that the series called name had value v at time t after the start
// of the run. It never blocks for long.
func (r *Recorder) Add(name string, t time.Duration, v float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.at(name)
	s.Points = append(s.Points, Point{T: t.Seconds(), V: v})
}

// Next begins the sample at time t after the start of the run, where samples are meant to be
// interval apart, and returns how long after the one before it is, or after the start: that is what
// to divide what was counted since by.
//
// If due is false, that is less than half an interval, as when a busy machine makes up for samples
// that it missed. A rate over so short a time is noise that looks like a spike. The sample is to be
// left out, so that what was counted belongs to the next one. If it is twice the interval or more,
// every series gets a gap where the sample that was missed would have been, so that no line is
// drawn over a time of which nothing is known.
func (r *Recorder) Next(t, interval time.Duration) (length time.Duration, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	length = t - r.last
	if length < interval/2 || length <= 0 {
		return length, false
	}
	if length >= 2*interval {
		missed := (r.last + interval).Round(interval).Seconds()
		for i := range r.series {
			r.series[i].Points = append(r.series[i].Points, Point{T: missed, V: math.NaN()})
		}
	}
	r.last = t
	return length, true
}

// Series returns a copy of one series, in order of time. It has no points if
// nothing was added under that name.
func (r *Recorder) Series(name string) Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.index[name]
	if !ok {
		return Series{Name: name}
	}
	return Series{Name: name, Points: r.series[i].Ordered()}
}

// All returns a copy of every series, in the order of their names' first use.
func (r *Recorder) All() []Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Series, len(r.series))
	for i, s := range r.series {
		all[i] = Series{Name: s.Name, Points: s.Ordered()}
	}
	return all
}

// at returns the series called name, new if need be. mu is held, or r is not
// shared yet.
func (r *Recorder) at(name string) *Series {
	i, ok := r.index[name]
	if !ok {
		i = len(r.series)
		r.index[name] = i
		r.series = append(r.series, Series{Name: name})
	}
	return &r.series[i]
}
