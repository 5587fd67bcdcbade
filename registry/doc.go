// Package registry is a registry of names for a cluster: each name has one holder, every node knows
// all of them, and a lookup is a read of local memory.
//
// # The model
//
// A node opens a [Registry] and joins others ([Config].Seeds). A holder, which is any piece of the
// program with a life of its own, registers a name under the context that it lives under, and gets
// a [Registration]. The registration's context ends when the name is lost for any reason, and the
// holder stops on that; when the holder's own context ends, the name is released. So the two lives
// are linked in both directions, as those of a monitored process and its name are in syn, the
// Erlang registry that this one is modelled on.
//
// What a node says of a name is a claim: name, node, time, metadata. Only the node on which a
// holder lives ever writes or withdraws its claim; the others copy it. No message from a third node
// can therefore bring back a claim that its own node has withdrawn.
//
// [Registry.Run] holds a name while a function runs: a scheduler, a consumer, the leader of
// something. It waits until the name is free, and again after a loss. [Registration.RequireAlive]
// takes the name from a holder that hangs.
//
// # Splits and conflicts
//
// Every node decides alone, from what it has, so both sides of a split network stay available. The
// price is that two nodes can come to hold the same name: each on its side of a split, or both at
// the same moment. As soon as the two nodes receive each other's claims the conflict is resolved. A
// [Resolver], the same on all nodes, says which claim is kept: [KeepNewest], [KeepOldest], or a
// function of yours over both claims and their metadata, which package registrytest can check. All
// nodes choose alike, since they choose by the two claims alone. The loser's own node withdraws the
// losing claim, and ends its registration's context with [ErrConflict].
//
// Times come from a hybrid logical clock in nanoseconds. A node whose wall clock is further ahead
// of the others' than [Config].MaxClockSkew is held back, and tells ([ClockAhead]), so that it does
// not win every conflict.
//
// A node that is not seen any more has its names hidden at once, which frees them for others. If it
// was only cut off they come back when it does; if it has started anew they are dropped.
//
// # Partitions
//
// Names are spread over [Config].Partitions by their hash, the same on every node. Each partition
// has a goroutine, a lock and a bounded queue of its own, so that one is not held up by another. A
// queue holds the names that changed here and were not sent yet, each once however often it
// changed. When it is full, [Registry.Register] waits for room, until its context ends and it fails
// with [ErrOverloaded]. Giving a name up never waits; a queue can exceed its size by the names that
// are given up at once, of which there are no more than this node holds.
//
// A few changes go in packets to each node, or by gossip in a cluster of more than
// [Config].GossipAbove nodes; many go over connections to every node. A change waits 2 ms before it
// is sent, for what else changes to share packets with it. What is lost on the way is noticed by
// the numbers that changes carry, and by comparing one digest of all partitions with a random node
// every two seconds; only what differs is sent. A registry to which nothing happens does nothing
// else, however many partitions it has. A node that can't be reached holds up the queue for 100 ms
// at a time at most, and asks for what it missed later. The protocol, its messages, the argument
// why all nodes come to the same state, and a comparison with syn's are written down in the doc of
// registry/internal/replica.
//
// # Catching up
//
// A node that joins, or comes back after a split, catches up with the others in pieces, whatever
// changes meanwhile, and shows what it has at once. Until it has caught up, a name that it does not
// know is not free: [Registry.Register] waits for that, and fails with [ErrSyncing] after
// [Config].SyncTimeout.
//
// # Groups
//
// Package group keeps many members under one name, by the same protocol. The names of groups are a
// space of their own, with as many partitions again, which sleep until some node opens its groups.
//
// # What is not promised
//
//   - That a name has no second holder at any moment. While nodes can't see each other, it may; do
//     not guard with a name what must never run twice. For that, use a store with consensus, or
//     fence it with [Claim.Token].
//   - That a lookup is up to date. It shows what this node has received: in a healthy network
//     that is some tens of milliseconds old. A dead node is noticed after some seconds.
//   - That all events are seen. Changes of a name that follow each other quickly may arrive as one;
//     a slow watcher gets the number of events that it missed.
//   - That anything outlives the processes. Claims are kept in memory alone: a node that starts
//     anew holds nothing.
//   - That a stranger is kept out, unless [Config].Keys are set.
//
// # Closing
//
// [Registry.Leave] and then [Registry.Close] is the way to stop a node: its names are free on the
// others as soon as word of it reaches them. After Close alone they have to detect it.
package registry
