//go:build race

package cache_test

// raceEnabled tells tests that count memory or allocations, or that are big.
const raceEnabled = true
