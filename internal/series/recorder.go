package series

import (
	"math"
	"sync"
	"time"
)

// Recorder collects series during a run. Use [NewRecorder] to make one. All methods are safe for
// concurrent use. Each sample takes 16 bytes.
type Recorder struct {
	// mu guards all fields below.
	mu     sync.Mutex
	index  map[string]int
	series []Series
	last   time.Duration // the time of the last sample; see Next
}

// NewRecorder returns a recorder. The names fix the order of the series; a series that Add creates
// comes after them.
func NewRecorder(names ...string) *Recorder {
	r := &Recorder{index: make(map[string]int)}
	for _, name := range names {
		r.at(name)
	}
	return r
}

// Add adds a point to the series called name: the value v at time t after the start of the run.
func (r *Recorder) Add(name string, t time.Duration, v float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.at(name)
	s.Points = append(s.Points, Point{T: t.Seconds(), V: v})
}

// Next begins the sample at time t after the start of the run. It returns the time since the
// previous sample, or since the start, by which to divide the events counted since then. Samples
// are meant to be interval apart.
//
// If length is less than half an interval, as when a busy machine catches up with ticks that it
// missed, due is false and the caller must skip the sample: a rate over so short a time is noise
// that looks like a spike. The events then count towards the next sample. If length is twice the
// interval or more, every series gets a gap at the time of the missed sample, so that no line is
// drawn over it.
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

// Series returns a copy of the series called name, in order of time. It has no points if Add was
// not called with that name.
func (r *Recorder) Series(name string) Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.index[name]
	if !ok {
		return Series{Name: name}
	}
	return Series{Name: name, Points: r.series[i].Ordered()}
}

// All returns a copy of every series, in the order in which they were created.
func (r *Recorder) All() []Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Series, len(r.series))
	for i, s := range r.series {
		all[i] = Series{Name: s.Name, Points: s.Ordered()}
	}
	return all
}

// at returns the series called name, and creates it if necessary. The caller holds mu, or r is not
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
