// Package replica is the registry's protocol as a state machine: one [Partition] for each
// partition of the names on each node. An input is a method call, its consequences wait
// for [Partition.Take]. The package starts no goroutine, opens no socket, reads no clock, and draws
// no random number but from the seed in its [Config]. The shell around it and the
// simulator drive the very same code.
//
// # State
//
// A claim says that a holder of a name lives on a node. The node where it lives is the
// claim's origin, and the only one that ever writes it. For each partition an origin numbers its
// changes 1, 2, 3 ...: a new claim, new metadata, the end of a claim (a tombstone). A change is a
// [Record]; all that a record can do to an older one of the same origin and name is to replace it.
//
// A replica keeps one table for each origin: the incarnation of the origin's run, a
// watermark (every change up to this number is in), and the records in the order of
// their numbers. The order is the whole index that replication needs: "what changed after n" is
// the tail of a slice. The tail after the last number that was broadcast is the queue
// of outgoing changes; since a newer record of a name makes the older one void, the queue coalesces
// by name without further ado.
//
// Claims of several origins on one name stand side by side. The winner is computed
// from those that are visible, and depends on nothing but that set: not on the order of
// arrival, not on who computes. A claim is visible while its origin is up as far as membership knows
// and this replica has come as far as someone who spoke for the origin since.
//
// # Messages
//
// Sizes are without the frame (see package wire): o is the length of an origin's name, n and m those of
// a claim's name and metadata. Nothing is assumed of delivery: any message may be lost, come twice, or late.
//
//	message  from → to               fields                                          bytes               what it guarantees
//	Update   origin → all, relayed   Origin Incarnation After UpTo Records           ~ 20+o, 12+n+m each  all that the origin changed in (After, UpTo], each name once, in its latest form as of UpTo. Applied only by who has all up to After.
//	Summary  anyone → a random peer  Root                                            ~ 10                the hash of all watermarks. Equal roots: nothing to do.
//	Vector   anyone → one            Reply, {Origin Incarnation Seq Visible} ...     ~ 2 + (14+o) each    how far the sender has come with each node that is up.
//	Pull     who lacks → who has     Origin Incarnation After Start                  ~ 20+o              asks for one chunk.
//	Chunk    answer                  Origin Incarnation After UpTo Start More Records  at most 256 KiB + one record  all live records and tombstones with After < Seq <= UpTo; of a snapshot, tombstones only after Start.
//
// Update is the fast path; the shell sends it in packets straight to everybody or by gossip, and over connections if it is large. A receiver
// that lacks what is before it keeps it (a bounded number of them) and, if the gap does not
// close by itself, pulls. Summary, Vector, Pull and Chunk are anti-entropy, the slow path that
// repairs whatever the fast one lost: every two seconds a replica probes one peer at random, and a
// node that comes up is asked for its vector at once. No message grows with the number of names: a
// transfer is a sequence of pulls, each answered by one bounded chunk, so the receiver sets the pace
// and a server keeps no state for it. Any replica may answer, not only the origin.
//
// Whoever is behind by more than the tombstones that the server still has gets a snapshot instead of a
// delta: all live records in order. Those that the receiver holds and that were not listed by its end
// are gone. A server whose tombstones after the snapshot's start ran out begins anew.
//
// # Conflicts
//
// When a replica sees that another visible claim is preferred to its own node's, it
// withdraws its own: a tombstone that names the winner, and a [Loss] for the shell, which ends the
// holder's context. No one else does anything. With a resolver that is a total order of claims, the greatest
// visible claim never sees a greater one, so it stays; every other sees one sooner or later,
// so it goes. The resolver is always asked with the claims in the order of node names, and its
// answer 0 falls to (timestamp, node name); hence it can't be asymmetric. It can still be
// unsteady (answer by the time of day, say). That shows: if both nodes withdrew, each one's tombstone
// names the other's claim as winner; if both keep theirs, the vector of one shows that it has seen and shows
// the other's claim and still has its own. Either way there is a [Disagreement] event.
//
// # Why replicas converge
//
// Fix an origin and an incarnation. The state that the origin's changes 1..n leave is a function of n
// alone, as only the origin writes and it writes in sequence. A replica's table with watermark n holds that
// state, plus possibly newer records from a snapshot under way. Each way to raise the watermark keeps this true:
// an Update or a delta Chunk is applied only if After is not above the watermark, and covers its range
// completely; a snapshot lists all that is live up to UpTo, and the sweep at its end removes
// what is not. Records at or below the watermark are never applied again. So a replica that is connected, even
// through others, raises its watermark until it equals the origin's own: a lower one makes the roots
// differ, the next probe brings a vector, the vector a pull. When all watermarks are equal
// and all nodes are up for all, all replicas have the same visible claims, hence the same winners. With equal
// roots no further message is sent but the probes.
//
// # Why no zombie can live
//
// A zombie is a claim that some replica shows and whose origin has dropped it. It would have to be brought back
// by a message that is older than the tombstone. But the tombstone has a higher number in the same sequence: a
// replica that has it has a watermark at or above that number and ignores records up to the
// watermark, tombstone kept or not; and a replica that does not have it is behind the origin, which the
// vectors show. No message about one origin's claims says anything of another's, so settling a conflict
// can't resurrect or bury anything at a third node: in syn's race (test/tla in its repository) the
// snapshot of the loser overtakes the loser's removal, and the name is free, so the entry is
// taken in as new. Here the same snapshot is a chunk that ends below the tombstone's number, which the
// next vector shows to be missing.
//
// A node that went down is hidden at once. Its claims come back when a vector of its own, or of somebody who
// has it in sight, says how far it is, and this replica has come as far. A node that started anew has a higher
// incarnation, which voids the old table. If its clock had been set back, its incarnation is lower; then
// somebody tells it of the higher one, and it raises its own above it (as a SWIM member refutes a rumour of its death).
//
// # No feedback
//
// What is sent without being asked is bounded by time, not by events: one probe per replica and interval; one
// vector per peer and VectorEvery when it comes up, doubling while it does not answer; pulls a bounded number
// at a time, each waiting longer than the last. A vector is answered by one vector at most, a pull by one chunk. Nothing
// that a replica hears of a third node makes it cut off that node: up and down come from membership alone.
// Suspicion is membership's too (SWIM keeps it to itself until it is confirmed or refuted); the protocol is told of the outcome.
//
// # Compared with syn
//
// The model is syn 3 (https://github.com/ostinelli/syn), for Erlang; what its messages do and what stands here in their place:
//
//	syn                                   here                                    the difference
//	scope process, one per scope and node a Partition, one per partition and node  names spread over partitions; one mailbox does not take all
//	discover (nodeup → all my data)       Vector                                  watermarks instead of data: 30 bytes per node, whatever the number of names
//	ack_sync (all names in one message)   Chunk, one per Pull                     only what differs, in bounded pieces, at the receiver's pace
//	sync_register                         Update                                  numbered: a lost or overtaken one is seen and fetched; syn relies on the order of a TCP link
//	sync_unregister                       Update with a tombstone                 the same; also for the loser of a conflict, which syn's race needed as a fix
//	sync_register with a new time, by     (nothing)                               the winner's claim stays as it is: a pure function needs no announcement,
//	  the node that keeps its process                                              and a re-stamped winner can't overtake a third claim
//	register_or_update_on_node (call)     Register at the holder's own node       a holder registers where it lives; no call waits for another node
//	unregister_on_node (call)             Unregister there                        the same
//	DOWN of a process (monitor)           Unregister with [WhyEnded]              the holder's context is the monitor
//	DOWN of a scope process: purge        NodeDown: hide                          a flapping link costs a vector, not all names again
//	erlang:system_time, ties: keep local  hybrid clock, then node name            two nodes can't both think they are newest
package replica
