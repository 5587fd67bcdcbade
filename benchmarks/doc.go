// Package benchmarks measures Snowfence side by side with the libraries that a
// user might take instead. It is a module of its own so that those stay out of
// Snowfence's go.mod.
//
// "make bench-compare" runs everything, one process per library and turn by
// turn, and writes a report; see the command in compare. Run it on a machine
// that has nothing else to do. Every benchmark has a sub-benchmark per library
// with the same work; read the ratios within one run, not the nanoseconds.
//
// Each library is set up as its documentation advises, and with what a service
// needs: expiry where it is asked for, and one load per key. Where a library has
// no loader it is given what its users write around it.
//
// "make fault-matrix" prints what their callers get when a load goes wrong; see
// the command in faults.
package benchmarks
