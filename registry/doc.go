// Package registry is a registry of names for a cluster: each name has one holder, every node knows
// all of them, and a lookup is a read of local memory.
//
// # The model
//
// A node opens a [Registry] and joins others ([Config].Seeds). A holder, which is any part of the
// program with a life of its own, registers a name with the context that it runs under, and gets a
// [Registration]. The registration's context ends when the name is lost for any reason, and the
// holder must stop then; when the holder's own context ends, the name is released. So the two lives
// are linked in both directions, as those of a monitored process and its name are in syn, the
// Erlang registry that this one is modelled on.
//
// A claim says that a node holds a name: name, node, time, metadata. Only the node on which a
// holder lives ever writes or withdraws its claim; the others copy it. So no message from a third
// node can bring back a claim that its own node has withdrawn.
//
// [Registry.Run] holds a name while a function runs: a scheduler, a consumer, a leader. It waits
// until the name is free, and again after a loss. [Registration.RequireAlive] takes the name from a
// holder that hangs.
//
// # Splits and conflicts
//
// Every node decides alone, from the claims that it has, so both sides of a split network stay
// available. The price is that two nodes can hold the same name: each on its side of a split, or
// both because they registered it at the same moment. The conflict is resolved as soon as the two
// nodes receive each other's claims. A [Resolver], the same on all nodes, chooses the claim to
// keep: [KeepNewest], [KeepOldest], or a function of yours over both claims and their metadata,
// which package registrytest can check. All nodes choose alike, since the choice depends on the two
// claims alone. The loser's own node withdraws the losing claim, and ends its registration's
// context with [ErrConflict].
//
// Times come from a hybrid logical clock in nanoseconds. A node whose wall clock is further ahead
// of the others' than [Config].MaxClockSkew holds its timestamps back, and reports that
// ([ClockAhead]), so that it does not win every conflict.
//
// When a node is no longer seen, the others hide its names at once, which frees them. If it was
// only cut off, they come back when it does; if it has started anew, they are dropped.
//
// # Partitions
//
// Names are spread over [Config].Partitions by their hash, the same on every node. Each partition
// has a goroutine, a lock and a bounded queue of its own, so that partitions do not delay each
// other. A queue holds the names that changed here and were not sent yet, each once however often
// it changed. When it is full, [Registry.Register] waits for room, and fails with [ErrOverloaded]
// if its context ends first. Giving a name up never waits; a queue can exceed its size by the names
// that are given up at once, of which there are no more than this node holds.
//
// A few changes go in packets to each node, or by gossip in a cluster of more than
// [Config].GossipAbove nodes; many go over connections to every node. A change waits 2 ms before it
// is sent, so that other changes can share its packets. Lost changes are detected by sequence
// numbers, and by comparing one digest of all partitions with a random node every two seconds; only
// what differs is sent. An idle registry does nothing else, however many partitions it has. A node
// that can't be reached holds up the queue for 100 ms at a time at most, and later asks for what it
// missed. The protocol, its messages, the argument why all nodes come to the same state, and a
// comparison with syn's are in the doc of registry/internal/replica.
//
// # Catching up
//
// A node that joins, or comes back after a split, catches up with the others in pieces, whatever
// changes meanwhile, and shows each claim at once. Until it has caught up, a name that it does not
// know may have a holder: [Registry.Register] waits for that, and fails with [ErrSyncing] after
// [Config].SyncTimeout.
//
// # Groups
//
// Package group keeps many members under one name, by the same protocol. The names of groups are a
// space of their own, with as many partitions again, which sleep until a node opens its groups.
//
// # What is not promised
//
//   - That a name has at most one holder at any moment. While nodes can't see each other, it may
//     have two; do not guard with a name what must never run twice. For that, use a store with
//     consensus, or fence it with [Claim.Token].
//   - That a lookup is up to date. It shows what this node has received: in a healthy network that
//     is some tens of milliseconds old. A dead node is detected after some seconds.
//   - That all events are seen. Changes of a name that follow each other quickly may arrive as one;
//     a slow watcher gets the number of events that it missed.
//   - That anything outlives the processes. Claims are kept in memory alone: a node that starts
//     anew holds nothing.
//   - That a stranger is kept out, unless [Config].Keys are set.
//
// # Closing
//
// To stop a node, call [Registry.Leave] and then [Registry.Close]: its names are free on the others
// as soon as they have been notified. After Close alone the others have to detect it.
//
// # Reading the source
//
// Open registry.go for the life of a node, register.go for that of a registration, and part.go for
// the goroutine that joins the protocol to the network. docs/registry-protocol.md is the way in.
package registry
