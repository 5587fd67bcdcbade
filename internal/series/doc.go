// Package series holds what a run looked like over time.
//
// A [Series] is a name and points: seconds since the start of the run, and a
// value. A value that is NaN or infinite is a gap, not a number. A [Recorder]
// collects several series while a run goes on; whoever samples feeds it, so
// the package has no goroutine and no clock. [WriteCSV] writes series side by
// side, and [Downsample] thins one out for drawing without losing its spikes.
package series
