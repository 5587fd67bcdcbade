// Package cachetest is for tests of code that uses a cache: it has a fake origin that fails as a
// script says.
//
// An [Origin] answers loads from a function of the test. Its methods Load and LoadMany are fetch
// functions: for Cache.Fetch and Cache.FetchMany, NewLoading and Options.LoadMany of package cache,
// and for Load and LoadMany of cluster.Options.
//
// A script says what a call does instead of answering: a [Fault]. What holds for a call is the
// first of these:
//
//	Next      the next calls of a key, one fault each
//	Always    all calls of a key
//	Default   all calls
//
// A call begins, which [Origin.Counts] counts, takes its latency, and then answers or fails. A
// fault strikes in the goroutine that called Load, as it would in a fetch function. A call that
// hangs is deaf to its context: it goes on when the test calls [Origin.Release], and at the end of
// the test, so that no goroutine is left.
//
// # Storages
//
// [TestStorage] tests an implementation of cache.Storage.
//
// # Time
//
// An Origin uses no clock but package time. Make it inside a testing/synctest bubble, with the
// bubble's *testing.T, and its latencies take no real time. docs/testing.md shows such tests.
//
// # Reading the source
//
// Open origin.go first. fault.go has the faults, and script.go chooses the one of a call.
// conformance.go has the tests of a Storage.
package cachetest
