// Package series holds the measurements of a run over time.
//
// A [Series] is a name and points. A point has a time, in seconds since the start of the run, and a
// value; NaN or an infinite value is a gap. A [Recorder] collects several series during a run. Its
// caller takes the samples, so the package has no goroutine and no clock. [WriteCSV] writes series
// side by side, and [Downsample] reduces the points of one for drawing without losing its spikes.
package series
