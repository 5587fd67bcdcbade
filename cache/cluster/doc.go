// Package cluster is a cache that loads each key once in the whole cluster. A key has one owner
// among the nodes, found in the registry of names; the owner loads the key and keeps it, the others
// ask the owner and keep a copy for a short time.
//
// # The model
//
// Each node makes a [Cache] over its registry.Registry and mounts [Cache.Handler] on its HTTP
// server. A node keeps the entries that it owns, and copies of entries of others, in one store.
//
// [Cache.Fetch] returns a fresh value that is there. Else one flight (see package courier), for all
// callers on this node, takes these steps, which fetch.go has in this order:
//
//  1. It looks up the key's owner, in local memory: the node that holds the key's name in the
//     registry or, if none does, the member that rendezvous hashing chooses, the same on all nodes.
//  2. If that is this node, it calls [Options].Load, and stores the value.
//  3. If it is another one, it asks that node over HTTP, which takes steps 1 and 2. The value is
//     kept as a copy, for [Options].CopyTTL, and no longer than the owner keeps it.
//  4. If that node says that a third one owns the key, it asks that one, once.
//  5. If none of them delivers, it waits for one of [Options].MaxLocalLoads places, for as long as
//     a caller waits for it, calls Load here, and keeps the value as long as an owner would.
//
// So a thousand callers on all nodes who miss a key at the same moment cost one Load, while the
// nodes see each other. The flight runs on when one of them leaves, ends when the last one has
// left, on whatever node they were, and whatever becomes of Load (an error, a panic, a Goexit, a
// time-out) reaches all of them at once: on the owner as it is, on other nodes as a [LoadError]
// with the owner's name.
//
// Two nodes never wait for each other, whatever they believe of who owns the key: while a node asks
// others for a key, it answers requests for it that it is busy.
//
// # When something is broken
//
// A cluster can only save loads; it must not lose a caller. Whatever happens to owners, network and
// registry, a caller gets a value or an error, and only the number of loads rises:
//
//	the owner                              what its callers get
//	dies while it loads                    a Load that one node tries at a time, see below
//	hangs, can't be reached, is late       their own node's Load, after PeerTimeout of silence
//	is at work for long                    its value; it says that it is at work, so they wait
//	fails to load                          a stale value, or the error; nobody loads again
//	is busy or closing                     their own node's Load, at once
//	sends rubbish, or another version      their own node's Load, at once
//	has failed 5 times in a row            the same; it is tried again every 1 to 2 s
//
// A mistake in the set-up (path, port, TLS, key) costs what a dead owner does. The nodes that ask
// log it once, as a warning that says what to do, and Stats.Peers has it. So set [Options].Logger.
//
// The stated bound for a caller is thus PeerTimeout (twice that, if the node that was asked first
// said that another one owns the key) and then a Load of its own, or its deadline if that is
// sooner. At most [Options].MaxLocalLoads such loads run on a node; further ones wait for their
// turn. What was loaded in place of an owner is kept as long as an owner keeps it, so the worst
// case for the origin is the one without a cluster: each node loads each key once per TTL.
//
// Nothing is retried, and no request is forwarded, so nothing can build up or go round in circles.
// A node that is asked for a key that it does not own answers who does; the asker follows that hint
// once.
//
// Two nodes can both come to own a key, on both sides of a split, or when their views differ for a
// moment. The registry settles it when they meet: the loser's entry becomes a copy, and its next
// Fetch goes to the winner.
//
// A Load that fetches another key of the same cache may be waited for by the Load of that key on
// another node. Within a node such a circle is found and is an error (courier.ErrDeadlock). Across
// nodes it is not: the callers wait until their deadlines, or the time-out of the load:
// courier.DefaultTimeout, or Options.Cache.Timeout. That bounds each call of Load, on whatever node
// it runs. A flight that asks has PeerTimeout more, so that what the owner says is heard.
//
// With StaleFor of Options.Cache, a value may also be given when its TTL has ended: by the owner
// whose load fails or is late, and by a node that gets no answer and can't load. A stale value that
// an owner gives is not kept elsewhere.
//
// # Keys that kill
//
// A key whose load ends the process must not end one node after the other. A node that loses the
// connection while it asks for a key notes that the key was under way when its owner died, and all
// nodes come to know it. Such a key is suspect, and not loaded by steps 2 and 5: one node at a time
// tries it, chosen by rendezvous hashing among those that live, after all others have confirmed
// that they know of the trial; the others ask that node. If Load returns, whatever it returns, the
// key is as before. If that node dies as well, the key is quarantined: no node loads it for
// [Options].Quarantine, and its callers get the stale value or a [QuarantineError]. Then it is
// tried again.
//
// Keys that were under way beside the one that killed are suspect as well. Their callers get their
// values, and wait until it is their turn. A death is not seen if no other node asked for the key,
// and two nodes may die at once that load a key at the same time, as in a split. What it costs when
// a busy node is killed is in docs/cluster.md; how it works, in package quarantine.
//
// # Many keys
//
// [Cache.FetchMany] asks each owner once for all its keys, and owners load what they lack with one
// call of [Options].LoadMany. Each key is joined, stored, and fails for itself: many.go sorts them
// by owner, and walkmany.go takes the same steps for the keys of one flight. Cache implements
// cache.Fetcher.
//
// # How old a value can be
//
// A value is never older than its TTL, counted from when Load returned it: a copy ends no later
// than the entry that it is a copy of.
//
// [Cache.Delete], [Cache.InvalidateTag] and [Cache.Clear] reach all nodes. When Delete returns nil,
// no Fetch that begins later on a node that was seen returns a value that was loaded before. A node
// that was cut off is told as soon as it can be reached, within 2 s, and until then serves what it
// has to its own callers, for its TTL at most. A request names the deletes of its key that the
// asked node has not confirmed, so a node that has missed one drops the key and does not answer
// with a value: a deleted key does not come back from an older entry. No clock is compared for any
// of this; what was loaded before a node received the delete is dropped. Deletes are remembered
// until all have applied them. A node that has missed more than [Options].DeleteLog clears its
// cache.
//
// # By key, by slot, by ring
//
// See [Ownership] for what one name stands for, and when to take which.
//
// # Security
//
// Whoever reaches the handler can read the cache and delete from it, and whoever can register in
// the registry can serve forged values. Inside a network that is trusted that may be all right;
// otherwise set SharedKeys and serve the handler with [SharedKeyTLS], or set TLS with certificates
// of your own: both sides of each request are authenticated then, and all is encrypted. Keys and
// values travel in bodies, never in paths or headers, so a key may be any bytes.
//
// # Compared with
//
// groupcache (golang/groupcache, and the forks of it) computes the owner from a fixed list of
// peers: two nodes whose lists differ can wait for each other for ever (mailgun/groupcache#72), a
// peer that hangs is waited for, a key has no TTL in the original, and a node that joins takes keys
// from all others, which have to be loaded again. Here lists may differ, nobody waits for a peer
// that is silent, and who joins takes nothing (by key) or an even share of the slots. olric and
// other distributed maps keep the values themselves, with replicas; here the truth is elsewhere,
// and losing a node loses nothing but the work of loading.
package cluster
