// Package sample takes samples of a run: gauges, rates, and what the program as a whole takes or
// leaves behind.
package sample

import (
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/snowfence/snowfence/internal/series"
)

// A Sampler turns samples into series. It is for one goroutine at a time.
type Sampler struct {
	*series.Recorder

	// At is the time at which the sample is noted. Next sets it; it may be changed after that.
	At     time.Duration
	length time.Duration // since the sample before
}

// New returns a sampler of the series with these names, in this order.
func New(names ...string) *Sampler { return &Sampler{Recorder: series.NewRecorder(names...)} }

// Next begins a sample as [series.Recorder.Next] does, and reports whether it is due.
func (s *Sampler) Next(t, interval time.Duration) (due bool) {
	s.At = t
	s.length, due = s.Recorder.Next(t, interval)
	return due
}

// Gauge notes a value of now.
func (s *Sampler) Gauge(name string, v float64) { s.Add(name, s.At, v) }

// Rate notes what was counted since the sample before, per second, and returns it.
func (s *Sampler) Rate(name string, counted uint64) float64 {
	v := float64(counted) / s.length.Seconds()
	s.Gauge(name, v)
	return v
}

// Peak returns the largest value of a series, and 0 if it has none.
func (s *Sampler) Peak(name string) float64 {
	_, high, _ := s.Series(name).Range()
	return high
}

// Program returns the number of goroutines and the bytes of objects on the heap, those that are
// garbage included. It does not stop the program.
func Program() (goroutines, heap uint64) {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return uint64(runtime.NumGoroutine()), s[0].Value.Uint64() //nolint:gosec // a count
}
