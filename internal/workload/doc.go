// Package workload makes the load that a cache is tested with: which keys are
// asked for, what is done to them, how big values are and how long a backend
// takes.
//
// Everything random comes from [Stream], so a run is settled by its seed: the
// same seed and worker give the same keys, operations, sizes and latencies.
// Workers draw from streams of their own, which makes drawing free of locks and
// one worker's choices independent of how the others are scheduled.
//
// # Keys
//
// A [Space] is the set of keys of a run and their popularity. A key is a number
// below [Space.Count]; its rank says how popular it is, rank 0 most. [KeySpec]
// names the law:
//
//   - zipf:SKEW, rank r (from 0) with a weight of 1/(r+1)^SKEW, for any SKEW above 0.
//   - uniform, all keys alike.
//   - scan, one key after the other, again and again.
//   - zipf-scan:SKEW, zipf requests with scans in between.
//
// The requests of a recorded trace, in order, are keys too ([KindTrace]), and no law.
//
// Key and rank are the same number unless [SpaceConfig].Scramble is set. Then
// popular keys lie scattered over the whole range, by a permutation that the
// seed chooses. Scramble where the order of keys could help or hurt what is
// tested, as with a range-partitioned store; leave it off where a report should
// say "key 0" for the most popular one.
//
// # Distributions
//
// [Latency] and [Size] are read from short texts such as "lognormal:5ms,40ms",
// so that flags and scenario files write them alike, and print as they are read.
package workload
