//go:build race

package benchmarks

// raceEnabled reports whether the race detector is on. Tests that count memory or allocations, or
// that are large, read it.
const raceEnabled = true
