// Package benchmarks measures Snowfence side by side with the libraries that a
// user might take instead. It is a module of its own so that those stay out of
// Snowfence's go.mod.
//
// Run it with "make bench-compare", on a machine that has nothing else to do.
// Every benchmark has a sub-benchmark per library with the same work; read the
// ratios within one run, not the nanoseconds.
package benchmarks
