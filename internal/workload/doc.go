// Package workload generates the load for testing a cache: the keys, the operations on them, the
// sizes of values and the latencies of an origin.
//
// All random numbers come from [Stream], so the seed determines a run: the same seed and worker
// give the same keys, operations, sizes and latencies. Each worker draws from a stream of its own.
// So drawing takes no lock, and the choices of a worker do not depend on how the others are
// scheduled.
//
// # Keys
//
// A [Space] is the set of keys of a run and their popularity. A key is a number below
// [Space.Count]; its rank orders it by popularity, and rank 0 is the most popular. A [KeySpec]
// selects the distribution:
//
//   - zipf:SKEW, rank r (from 0) with a weight of 1/(r+1)^SKEW, for any SKEW above 0.
//   - uniform, all keys alike.
//   - scan, one key after the other, again and again.
//   - zipf-scan:SKEW, zipf requests with scans in between.
//
// The requests of a recorded trace, in order, are keys too ([KindTrace]), and no law.
//
// Key and rank are the same number unless [SpaceConfig].Scramble is set. Then a permutation, which
// the seed determines, scatters popular keys over the whole range. Set it where the order of keys
// could help or hurt the system under test, as with a range-partitioned store. Leave it off where a
// report should call the most popular key "key 0".
//
// # Distributions
//
// [Latency] and [Size] have a text form such as "lognormal:5ms,40ms", which flags and scenario
// files share.
package workload
