// Package cluster is a cache that loads each key once in the whole cluster. A key has one owner among the nodes, found in
// the registry of names; the owner loads the key and keeps it, the others ask the owner and keep a copy for a short time.
//
// # The model
//
// Each node makes a [Cache] over its registry.Registry and mounts [Cache.Handler] on its HTTP server. [Cache.Fetch] then
// returns what this node has: an entry that it owns, or a copy. Where it has neither,
//
//   - the owner of the key is looked up, in local memory;
//   - if another node owns it, that one is asked over HTTP, and what it answers is kept as a copy, for [Options].CopyTTL;
//   - if nobody owns it, it goes to its home: the member that rendezvous hashing chooses, the same on all nodes. The home claims the
//     key's name in the registry, calls [Options].Load, and keeps the entry.
//
// So a thousand callers on all nodes who miss a key at the same moment cost one Load, while the nodes see each other. All who wait
// share one flight, see package courier: it runs on when one of them leaves, ends when the last one has left, on whatever node
// they were, and whatever becomes of Load (an error, a panic, a Goexit, a time-out) reaches all of them at once: on the
// owner as it is, on other nodes as a [LoadError] with the owner's name.
//
// An owner stays the owner as long as it lives and uses the key, whoever joins; a name whose entry has left the cache is
// given up after [Options].IdleRelease.
//
// # When something is broken
//
// A cluster can only save loads; it must not lose a caller. Whatever happens to owners, network and registry, a caller gets a value or
// an error, and only the number of loads rises:
//
//	the owner                                    what its callers get
//	dies, hangs, can't be reached, answers late  after Options.PeerTimeout of silence: their own node's Load
//	is at work for long                          its value; it says that it is at work, so they wait
//	fails to load                                the error; nobody loads again
//	is busy or closing                           their own node's Load, at once
//	sends rubbish, or another version            their own node's Load, at once
//	has failed 5 times in a row                  their own node's Load, at once; it is tried again every 1 to 2 s
//
// The stated bound for a caller is thus PeerTimeout (twice that, if the node that was asked first said that another one owns the key) and
// then a Load of its own, or its deadline if that is sooner. At most [Options].MaxLocalLoads such loads run on a node; past
// that a caller is told so at once (ErrOverloaded). What was loaded in place of an owner is kept as long as an owner keeps
// it, so the worst case for the origin is the one without a cluster: each node loads each key once per TTL.
//
// Nothing is retried, and no request is forwarded, so nothing can build up or go round in circles. A node that is asked for a key
// that it does not own answers who does; the asker follows that hint once.
//
// Two nodes can both come to own a key, on both sides of a split, or when their views differ for a moment. The registry settles it
// when they meet: the loser's entry becomes a copy, and its next Fetch goes to the winner.
//
// A Load that fetches another key of the same cache may be waited for by the Load of that key on another node. Within a
// node such a circle is found and is an error (courier.ErrDeadlock). Across nodes it is not: the callers wait until their
// deadlines, or the time-out of the load: courier.DefaultTimeout, or courier.WithTimeout in Options.Cache.Courier.
//
// # How old a value can be
//
// A value is never older than its TTL, counted from when Load returned it: a copy ends no later than the entry that it is a copy of.
//
// [Cache.Delete] and [Cache.Clear] reach all nodes. When Delete returns nil, no Fetch that begins later on a node that was seen
// returns a value that was loaded before. A node that was cut off is told as soon as it can be reached, within 2 s, and until
// then serves what it has to its own callers, for its TTL at most. A request carries the deletes of its key that the asker knows, so a node
// that has missed one applies it before it answers: a deleted key does not come back from an older entry. No clock is compared for
// any of this; what was loaded before a node received the delete is dropped. A node that has missed more deletes than
// [Options].DeleteLog clears its cache.
//
// # By key, by slot, by ring
//
// See [Ownership] for what one name stands for, and when to take which.
//
// # Security
//
// Whoever reaches the handler can read the cache and delete from it. Inside a network that is trusted that may be all right; otherwise
// set SharedKeys (who asks and who answers is authenticated, requests can't be replayed), TLS (the same, and nobody can listen), or both.
// Keys and values travel in bodies, never in paths or headers, so a key may be any bytes.
//
// # Compared with
//
// groupcache (golang/groupcache, and the forks of it) computes the owner from a fixed list of peers: two nodes whose lists differ can
// wait for each other for ever (mailgun/groupcache#72), a peer that hangs is waited for, a key has no TTL in the
// original, and a node that joins takes keys from all others, which have to be loaded again. Here lists may differ, nobody waits for
// a peer that is silent, and who joins takes nothing (by key) or an even share of the slots. olric and other
// distributed maps keep the values themselves, with replicas; here the truth is elsewhere, and losing a node loses
// nothing but the work of loading.
package cluster
