// Package cluster is a cache that loads each key once in the whole cluster. A key has one owner
// among the nodes, found in the registry of names. The owner loads the key and keeps it. The other
// nodes ask the owner and keep a copy for a short time.
//
// # The model
//
// Each node makes a [Cache] over its registry.Registry and mounts [Cache.Handler] on its HTTP
// server. A node keeps its own entries, and copies of entries of other nodes, in one store.
//
// [Cache.Fetch] returns the fresh value that this node has. If there is none, one flight (see
// package courier) serves all callers on this node. It takes these steps, which fetch.go has in
// this order:
//
//  1. It looks up the key's owner in local memory: the holder of the key's name in the registry.
//     If nobody holds the name, the owner is the member that rendezvous hashing chooses. That is
//     the same one on all nodes.
//  2. If that is this node, it calls [Options].Load, and stores the value. If the cache has a
//     second level (SecondLevel of [Options].Cache), it asks that first.
//  3. If it is another node, it asks that one over HTTP, which takes steps 1 and 2. The value is
//     kept as a copy for [Options].CopyTTL, but no longer than the owner keeps it.
//  4. If that node names another owner, it asks that one, once.
//  5. If none of them delivers, it loads the key here. It waits for its turn, since only
//     [Options].MaxLocalLoads such loads run at a time, and calls Load. The value is kept for as
//     long as an owner keeps it.
//
// So a thousand callers on all nodes who miss a key at the same moment cost one Load, while the
// nodes see each other. The flight runs on when one of the callers leaves. It ends when the last
// one has left, on whatever node they were. All callers get the outcome of Load (a value, an error,
// a panic, a Goexit, a time-out) at the same moment: on the owner as it is, on other nodes as a
// [LoadError] with the owner's name.
//
// Two nodes never wait for each other, whatever they believe about the key's owner: while a node
// asks others for a key, it answers requests for that key that it is busy.
//
// # Reading the source
//
// Read fetch.go first, then serve.go, which is the other end of steps 3 and 4. A fetch of many keys
// is many.go (callers) and batch.go (flights). turns.go has the turns of step 5. invalidate.go and
// exchange.go bring deletes to the members, which members.go finds, and quarantine.go takes the
// place of the steps for keys that kill. Of the packages below, ownership finds the owner of a key,
// peer carries the requests, and deletes and quarantine keep the books.
//
// # When something is broken
//
// A cluster only saves loads; it must not lose a caller. Whatever happens to owners, network and
// registry, a caller gets a value or an error, and only the number of loads rises:
//
//	the owner                              what its callers get
//	dies while it loads                    a load that one node tries at a time, see below
//	hangs, can't be reached, is late       a load of their own node, after PeerTimeout
//	is at work for long                    its value; it sends life signs, so they wait
//	fails to load                          a stale value, or the error; nobody loads again
//	is busy or closing                     a load of their own node, at once
//	sends rubbish, or another version      a load of their own node, at once
//	has failed 5 times in a row            the same; it is tried again every 1 to 2 s
//
// A mistake in the set-up (path, port, TLS, key) costs what a dead owner costs. The nodes that ask
// log it once, as a warning that says what to do, and Stats.Peers shows it. So set
// [Options].Logger.
//
// So a caller waits for at most PeerTimeout, or twice that if the first node named another owner,
// and then for a load of its own node. Its own deadline may end that sooner. At most
// [Options].MaxLocalLoads such loads run on a node; further ones wait for their turn. A value that
// was loaded in place of an owner is kept for as long as an owner keeps it. So the worst case for
// the origin is the one without a cluster: each node loads each key once per TTL.
//
// Nothing is retried and no request is forwarded, so nothing can build up or go round in circles. A
// node that is asked for a key of another owner answers with that owner's name, and the asker
// follows that hint once.
//
// Two nodes can both come to own a key: on both sides of a split, or when their views differ for a
// moment. The registry resolves it when they meet: the loser's entry becomes a copy, and its next
// Fetch goes to the winner.
//
// A Load that fetches another key of the same cache may be waited for by the Load of that key on
// another node. Within a node such a circle is found and is an error (courier.ErrDeadlock). Across
// nodes it is not found: the callers wait until their deadlines, or until the load's time-out. The
// time-out bounds each call of Load, on whatever node it runs: it is Options.Cache.Timeout, or
// courier.DefaultTimeout. A flight that asks has PeerTimeout more, so that the owner's answer still
// arrives.
//
// With StaleFor of Options.Cache, a value may also be given after its TTL has ended: by an owner
// whose load fails or is late, and by a node that gets no answer and can't load. A stale value that
// an owner gives is not kept on other nodes.
//
// # Keys that kill
//
// A key whose load ends the process must not end one node after the other. If a node loses the
// connection while it asks for a key, it notes that the key was under way when its owner died, and
// all nodes learn of it. Such a key is suspect, and steps 2 and 5 do not load it. One node at a
// time tries it, and the others ask that one. It is chosen by rendezvous hashing among the live
// members, and it calls Load after all other members have confirmed that they know of the trial. If
// Load returns, with whatever outcome, the key is as before. If that node dies as well, the key is
// quarantined: no node loads it for [Options].Quarantine, and its callers get the stale value or a
// [QuarantineError]. Then it is tried again.
//
// Keys that were under way beside the one that killed are suspect as well; their callers wait for
// the trials and get their values. A death stays unseen if no other node asked for the key. Two
// nodes that load one key at the same time, as in a split, may both die. docs/cluster.md has what
// it costs when a busy node is killed; package quarantine has how it works.
//
// # Many keys
//
// [Cache.FetchMany] asks each owner once for all its keys, and owners load what they lack with one
// call of [Options].LoadMany. Each key is joined and stored, and fails, on its own: many.go groups
// the keys by owner, and batch.go takes the same steps for the keys of one flight. Cache implements
// cache.Fetcher.
//
// # How old a value can be
//
// A value is never older than its TTL, counted from when Load returned it: a copy ends no later
// than the owner's entry.
//
// [Cache.Delete], [Cache.InvalidateTag] and [Cache.Clear] reach all nodes. When Delete returns nil,
// no Fetch that begins later on a member returns a value that was loaded before. A node that was
// cut off gets the delete within 2 s after it can be reached. Until then it serves what it has to
// its own callers, for the TTL at most. A request names the deletes of its key that the peer has
// not confirmed. A peer that has missed one drops the key and does not answer with a value, so a
// deleted key does not come back from an older entry. No clocks are compared: a node drops what it
// loaded before it received the delete. Deletes are remembered until all have applied them. A node
// that has missed more than [Options].DeleteLog of them clears its cache.
//
// # By key, by slot, by ring
//
// See [Ownership] for what one name stands for, and which one to take when.
//
// # Security
//
// Whoever reaches the handler can read the cache and delete from it, and whoever can register in
// the registry can serve forged values. Inside a trusted network that may be all right. Otherwise
// set SharedKeys and serve the handler with [SharedKeyTLS], or set TLS with your own certificates.
// Then both sides of each request are authenticated, and all traffic is encrypted. Keys and values
// travel in bodies, never in paths or headers, so a key may be any bytes.
//
// # Compared with
//
// groupcache (golang/groupcache and its forks) computes the owner from a fixed list of peers. Two
// nodes whose lists differ can wait for each other for ever (mailgun/groupcache#72), a peer that
// hangs is waited for, the original has no TTL, and a node that joins takes keys from all others,
// which have to be loaded again. Here lists may differ, nobody waits for a silent peer for longer
// than PeerTimeout, and a node that joins takes nothing (by key) or an even share of the slots.
// olric and other distributed maps store the values themselves, with replicas. Here the truth is
// elsewhere, and the loss of a node loses only the work of its loads.
package cluster
