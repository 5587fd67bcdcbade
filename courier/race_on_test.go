//go:build race

package courier_test

// raced reports whether the race detector is on, which makes allocations of its own.
const raced = true
