// Package benchmarks compares Snowfence with alternative libraries. It is a module of its own so
// that those stay out of Snowfence's go.mod.
//
// "make bench-compare" runs all benchmarks in rounds, with one process per library, and writes a
// report; see the command in compare. Run it on an otherwise idle machine. Every benchmark has a
// sub-benchmark per library with the same work; compare the ratios within one run, not the
// nanoseconds.
//
// Each library is set up as its documentation advises, with what a service needs: expiry where a
// benchmark has it, and one load per key. A library without a loader is used with the code that its
// users write for that.
//
// "go run ./growth" draws curves of caches from ten thousand to ten million entries; see the
// command in growth.
//
// "make bench-service" measures a whole service with each library as its cache; see the command in
// service. Its set-ups are those of internal/peers, which cachebench shares.
//
// "make bench-second" measures caches with a second level on one Valkey or Redis server, which it
// starts; see the command in second.
//
// "make fault-matrix" prints what their callers get when a load goes wrong; see the command in
// faults, which has an adapter of package stalltest for each.
package benchmarks
