// Package partition sends each key to one of n partitions, the same one on
// every node, in every process, on every architecture and in every release.
//
// A cluster needs that agreement before it needs anything else: the registry
// keeps each name in the partition that [Map.Of] gives, and two nodes that
// disagreed would look for one name in two places. So n belongs to the cluster,
// as part of its configuration. It must never come from something that differs
// between nodes, such as the number of cores.
//
// # How a key finds its partition
//
// The key's bytes are hashed with XXH64, seed 0. The jump consistent hash of
// Lamping and Veach then reduces the hash to a partition ("A Fast, Minimal
// Memory, Consistent Hash Algorithm", 2014, arXiv:1406.2294). Both steps are
// fixed: a change of either would be a new major version of this module. The
// file testdata/golden.tsv holds keys with their hashes and partitions, so that
// a program in another language can check that it agrees, and
// testdata/golden.py beside it is such a program.
//
// Neither step looks at the process or the machine. Go's own maphash would be
// faster, but its seed differs from process to process.
//
// # Why a jump hash
//
// The choice is between a plain reduction, such as multiply-and-shift, and a
// consistent one. Beside the hash, a plain one costs about 1 ns whatever n is.
// The jump hash takes a number of steps that grows with the logarithm of n:
// about 45 ns for 16 partitions, 80 for 1,000 and 115 for 65,536 on the small
// virtual machine where it was measured (BenchmarkReduce sets both side by
// side). In return few keys move when a cluster is set up anew with another n:
// from n to n+1, one key in n+1 moves, and only ever to the new partition.
// Multiply-and-shift would move about half of all keys, and modulo nearly all.
// A lookup that may go on to cross a network does not notice the difference; an
// operator who resizes a running system does.
//
// Rendezvous hashing moves as few keys, but takes time in proportion to n.
//
// # Evenness
//
// Both steps treat all partitions alike. The jump hash uses 31 bits at each
// step, so a partition's share of all possible hashes is not exactly 1/n, but the
// difference is far below what chance does to any real set of keys. Keys that
// count up ("user:1", "user:2") spread as evenly as random ones.
// XXH64 is not a keyed hash, however: a person who chooses keys can choose them
// all for one partition.
package partition
