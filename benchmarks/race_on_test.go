//go:build race

package benchmarks

// raceEnabled tells tests that count memory or allocations, or that are big.
const raceEnabled = true
