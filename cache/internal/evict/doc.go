// Package evict decides which entry of a cache's shard goes first.
//
// # Marks instead of lists
//
// A hit must not write to memory that other cores read or write, so it does not
// move anything. It leaves a mark in its own entry (see [Node.Touch]), at most
// once per interval, and the policy reads the marks when it looks for a victim:
// entries that were used meanwhile are moved then, under the lock that the
// insertion holds anyway. This is the second chance of CLOCK (Corbató 1968),
// which FIFO-Reinsertion, S3-FIFO (Yang et al., SOSP 2023) and SIEVE (Zhang et
// al., NSDI 2024) go back to; the second and third show that promotion at
// eviction time costs no hits, or even gains some.
//
// # Queues without links
//
// Entries know their place in a [queue], an array in chunks, instead of having
// links to their neighbours. That is half the memory of a doubly linked list,
// and one pointer for the garbage collector to follow instead of two; an entry
// of plain values has no pointers at all. To remove an entry leaves a hole.
//
// Nothing in this package locks: a shard's lock is held for all calls but Touch.
package evict
