// Package stacks shows where the functions of a courier's flights are: it takes goroutine profiles
// and keeps the stacks of goroutines that bear the pprof label of a flight.
//
// A courier labels the goroutines of each flight with a number that no other live flight of the
// process has. [Recent] returns the stacks by that number. Since a profile takes time for each
// goroutine of the process, and stops all of them for a moment, profiles are bounded: see Recent.
//
// Open stacks.go first. profile.go reads the profile's format, profile.proto of
// github.com/google/pprof, as far as it is needed here, so that programs need not link a library
// for it.
package stacks
