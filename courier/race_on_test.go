//go:build race

package courier_test

// raced is true under the race detector, which allocates for itself.
const raced = true
