// Package partition maps each key to one of n partitions. The result depends on
// nothing but key and n: it is the same on every node, in every process, on every
// architecture and in every release.
//
// The registry keeps each name in the partition that [Map.Of] returns. Two nodes
// that disagree look for the same name in different places, so all nodes of a
// cluster must be configured with the same n. Never derive n from something that
// differs between nodes, such as the number of cores.
//
// # How a key is mapped
//
// The key's bytes are hashed with XXH64, seed 0. The jump consistent hash of
// Lamping and Veach then reduces the hash to a partition ("A Fast, Minimal
// Memory, Consistent Hash Algorithm", 2014, arXiv:1406.2294). Both steps are
// fixed: changing either requires a new major version of this module. The file
// testdata/golden.tsv lists keys with their hashes and partitions, so that an
// implementation in another language can be checked against it;
// testdata/golden.py is one.
//
// Go's hash/maphash would be faster, but its seed differs between processes.
//
// # Why a jump hash
//
// A hash can be reduced to a partition by a plain reduction, such as
// multiply-and-shift, or by a consistent one. A plain reduction takes about 1 ns
// for any n. The jump hash takes O(log n) steps: about 45 ns for 16 partitions,
// 80 ns for 1,000 and 115 ns for 65,536 on a small virtual machine
// (BenchmarkReduce compares the two).
//
// In return, few keys move when a cluster is restarted with another n: from n to
// n+1, one key in n+1 moves, and only to the new partition. Multiply-and-shift
// would move about half of all keys, modulo nearly all. The difference in time is
// negligible beside a lookup over the network; moving half of the keys is not.
//
// Rendezvous hashing moves as few keys, but takes O(n) steps.
//
// # Evenness
//
// The jump hash uses 31 bits at each step, so a partition's share of all possible
// hashes is not exactly 1/n. The difference is far below the random variation of
// any real set of keys. Keys that count up ("user:1", "user:2") spread as evenly
// as random ones.
//
// XXH64 is not a keyed hash: whoever chooses the keys can choose them all for one
// partition.
package partition
