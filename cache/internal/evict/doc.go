// Package evict orders the entries of a cache's shard for eviction.
//
// # Marks instead of lists
//
// A hit must not write to memory that other cores read or write, so it moves nothing. It
// leaves a mark in its own entry (see [Node.Touch]), at most once per interval, and the
// policy reads the marks when it searches a victim. It moves used entries then, under the
// lock that the insertion holds anyway. This is the second chance of CLOCK (Corbató 1968),
// on which FIFO-Reinsertion, S3-FIFO (Yang et al., SOSP 2023) and SIEVE (Zhang et al.,
// NSDI 2024) are based. The papers on the latter two show that promotion at eviction time
// does not lower the hit ratio, and may even raise it.
//
// # Queues without links
//
// Entries have their position in a [queue], an array in chunks, instead of links to their
// neighbours. That takes half the memory of a doubly linked list, and the garbage collector
// follows one pointer per entry instead of two; an entry of plain values has no pointers at
// all. Removing an entry leaves a hole.
//
// A [Strict] alone is a list, since its hits move nodes under the lock of the shard.
//
// Nothing in this package locks: callers hold the shard's lock, except for [Node.Touch],
// [Node.UntouchedSince], [Window.Samples] and [Window.Record].
package evict
