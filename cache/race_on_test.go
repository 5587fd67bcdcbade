//go:build race

package cache_test

// raceEnabled is for tests that count memory or allocations, or that are big.
const raceEnabled = true
