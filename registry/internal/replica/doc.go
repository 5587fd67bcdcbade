// Package replica is the registry's protocol as a state machine: one [Partition] for each
// partition of the names on each node. An input is a method call; its effects wait for
// [Partition.Take]. The package starts no goroutine, opens no socket, reads no clock, and draws no
// random number but from the seed in its [Config]. The shell around it and the simulator drive the
// same code.
//
// The files under testdata/transcripts show the messages between nodes. To read the code, open
// partition.go for the inputs, and apply.go for all that one record does to a replica.
//
// # State
//
// A claim says that a holder of a name lives on a node. The node where it lives is the claim's
// origin, and the only one that ever writes it. For each partition an origin numbers its changes 1,
// 2, 3 ...: a new claim, new metadata, the end of a claim (a tombstone). A change is a [Record]. A
// record replaces an older one of the same origin and name, and does nothing else.
//
// A replica keeps one table for each origin: the incarnation of the origin's run, a watermark
// (every claim that was made up to this number and still stands is in the table), and the records
// in the order of their numbers. That order is the only index that replication needs: "what changed
// after n" is the tail of a slice. The tail after the last number that was broadcast is the queue
// of outgoing changes; since a newer record replaces an older one of its name, the queue coalesces
// by name. A table is exact if it is the state of the origin's sequence as of its watermark. See
// "Catching up" for when it is not.
//
// Claims of several origins on one name stand side by side. The winner is computed from the visible
// ones, and depends on their set alone: not on the order of arrival, not on the node that computes.
// A claim is visible while membership says that its origin is up, and once the claim is as new as
// the vector of a node that spoke for the origin since then.
//
// # Messages
//
// Sizes are without the frame (see package wire): o is the length of an origin's name, n and m
// those of a claim's name and metadata. Nothing is assumed of delivery: any message may be lost,
// come twice, or late.
//
//	message   from → to                what it holds, and about how many bytes that is
//	Update    origin → all, relayed    Origin Incarnation After UpTo Records; 20+o, 12+n+m each
//	Summary   anyone → a random peer   Root; 10
//	Vector    anyone → one             Reply, {Origin Incarnation Seq Visible} ...; 2, 14+o each
//	Pull      one behind → one ahead   Origin Incarnation After AtLeast; 20+o
//	Chunk     answer                   Origin Incarnation After UpTo AsOf Floor Records;
//	                                   128 KiB and one record at most
//	Check     one in doubt → any       Origin Incarnation After AtLeast Blocks; 20+o, 10 a block
//	Standing  answer                   Origin Incarnation After UpTo AsOf Spans; 20+o, 2 a number
//
// What they guarantee:
//
//   - Update: all that the origin changed in (After, UpTo], each name once, in its latest form as
//     of UpTo. Only a replica that has all up to After applies it.
//   - Summary: the hash of all watermarks. Equal roots: nothing to do.
//   - Vector: the sender's watermark for each node that is up.
//   - Pull asks for one chunk, from a replica whose watermark is at least AtLeast.
//   - Chunk: all claims that stand as of AsOf with After < Seq <= UpTo, and the tombstones in that
//     range, but for some up to Floor.
//   - Check: the digests of the numbers of the claims that the sender has, block by block.
//   - Standing: which of those stand as of AsOf: all, but in Spans only the numbers that are
//     listed.
//
// Update is the fast path. The shell sends it in packets straight to all nodes or by gossip, and
// over connections if it is large. A receiver that lacks what is before it buffers it (up to a
// bound) and pulls if the gap does not close by itself.
//
// The others are anti-entropy, the slow path that repairs whatever the fast one lost. Every two
// seconds a replica probes one peer at random; with Config.Compared, the shell compares all
// partitions at once instead, and sends a Summary where they may differ. A node that comes up is
// asked for its vector at once. No message grows with the number of names: a transfer is a sequence
// of pulls, each answered by one bounded chunk, so the receiver sets the pace and the server keeps
// no state. Any replica whose table is exact may answer, not only the origin; one that can't says
// so at once.
//
// # Catching up
//
// A replica that lacks something walks through the origin's log, in its order, from its watermark
// on: each chunk raises the watermark to UpTo. Names change meanwhile. A name that changes moves to
// the end of the log, and is met there once more; nothing else is sent twice, and a walk never
// starts again. So its work is bounded by what there is plus what changes, whatever the churn. It
// is over when a chunk reaches AsOf.
//
// What a walk can miss is an end: a claim of an early chunk is released, and the tombstone is gone
// by the time that the walk comes to its number. The same goes for a replica that was away for
// longer than tombstones are kept. The chunk says so (Floor). The replica then holds every claim
// that stands, and perhaps some that do not; so it fetches nothing, and only asks which of its own
// still stand. A number identifies a record, and is never used again. So a Check holds a digest of
// the numbers in each block of 64 claims, ten bytes each, and a Standing lists the numbers of those
// blocks that differ, one or two bytes each. What is not listed is dropped. That a claim does not
// stand as of AsOf stays true for ever, so neither side has to hold still. A replica that needs
// both pulls and checks by turns.
//
// A node speaks for an origin if its vector says that it shows that origin's claims. A claim of a
// chunk stood at AsOf. A replica that has nothing of an origin shows it at once, and does not wait
// for the rest, provided that AsOf is not before the vector that spoke for the origin: AtLeast
// ensures that. A replica that still holds claims of a node which comes back shows them when the
// table is exact, since any of them may have ended. Until the watermark has reached the vector that
// spoke for a node, a name that is not found may be held there: [Partition.CaughtUp] reports that,
// and Register waits.
//
// In numbers: a table keeps sure, hole and top. Each claim in it was seen to stand at the change
// sure, or is newer than that. Tombstones up to hole may have been missed. Claims that ended up to
// top, the highest AsOf, may be missing. The table is exact if seq >= top and sure >= hole. Why it
// is then:
//
//   - It has each claim r that stands as of seq. The chunk that covered r's number was as of some
//     S, and S <= top <= seq. So r stood at S, too, and was listed.
//   - It has no other. Let z be one that had ended by seq. The newest record of z's name as of seq
//     is not z. If it is a claim, the table has it, in place of z. If it is a tombstone above hole,
//     it was in an update or a chunk, and took z away. If it is one up to hole, then z was seen to
//     stand at sure >= hole, after its end.
//
// Only an exact table is served from, and only its owner speaks for the origin.
//
// # Conflicts
//
// When a replica sees that another visible claim is preferred to its own node's, it withdraws its
// own: a tombstone that names the winner, and a [Loss] for the shell, which ends the holder's
// context. No other node does anything. With a resolver that is a total order of claims, the
// greatest visible claim never meets a greater one, so it stays; every other meets one sooner or
// later, so it goes. The resolver is always called with the claims in the order of node names, and
// its answer 0 leaves the choice to (timestamp, node name); hence it can't be asymmetric. It can
// still be unsteady (answer by the time of day, say). That is detected. If both nodes withdrew,
// each one's tombstone names the other's claim as winner. If both keep theirs, the vector of one
// says that it has and shows the other's claim, and its own still stands. Either way there is a
// [Disagreement] event.
//
// # Why replicas converge
//
// Fix an origin and an incarnation. The state that the origin's changes 1..n leave is a function of
// n alone, as only the origin writes and it writes in sequence. An exact table with watermark n
// holds that state. Each way to raise the watermark keeps the three numbers above true: an Update
// or a Chunk is applied only if After is not above the watermark, and covers its range. Records at
// or below the watermark are never applied again. So a replica that is connected, even through
// others, raises its watermark until it equals the origin's own: a lower one makes the roots
// differ, the next probe brings a vector, the vector a pull. And while it is in doubt it asks. When
// all watermarks are equal and every node is up for every other, all replicas have the same visible
// claims, hence the same winners. With equal roots no further message is sent but the probes.
//
// # Why no zombie can live
//
// A zombie is a claim that some replica shows although its origin has dropped it. Only a message
// older than the tombstone could bring it back. But the tombstone has a higher number in the same
// sequence. A replica that has it has a watermark at or above that number, and ignores records up
// to the watermark, tombstone kept or not. A replica that does not have it is behind the origin,
// which the vectors show, or knows that it may have missed it, and checks.
//
// No message about one origin's claims changes another's, so resolving a conflict can neither bring
// back nor drop anything at a third node. In syn's race (test/tla in its repository) the snapshot
// of the loser overtakes the loser's removal, and the name is free, so the entry is taken for a new
// one. Here the same snapshot is a chunk that ends below the tombstone's number, and the next
// vector shows that something is missing.
//
// A node that went down is hidden at once. Its claims come back when a vector of its own, or of
// another node that shows it, says how far it is, and this replica has come as far. A node that
// started anew has a higher incarnation, which voids the old table. If its clock had been set back,
// its incarnation is lower; then a vector shows it the higher one, and it raises its own above that
// (as a SWIM member refutes a rumour of its death).
//
// # No feedback
//
// What is sent without being asked is bounded by time, not by events: one probe per replica and
// interval; one vector per peer and VectorEvery when it comes up, doubling while it does not
// answer; pulls a bounded number at a time, each waiting longer than the last. A vector is answered
// by one vector at most, a pull by one chunk, a check by one standing. Nothing that a replica
// receives about a third node makes it cut off that node: up and down come from membership alone.
// Suspicion is membership's too (SWIM keeps it to itself until it is confirmed or refuted); the
// protocol gets the outcome.
//
// # Compared with syn
//
// The model is syn 3 (https://github.com/ostinelli/syn), for Erlang; what its messages do and what
// stands here in their place:
//
//	syn                                  here
//	scope process, one per scope, node   a Partition, one per partition and node
//	discover (nodeup → all my data)      Vector
//	ack_sync (all names, one message)    Chunk, one per Pull
//	sync_register                        Update
//	sync_unregister                      Update with a tombstone
//	sync_register with a new time, by    (nothing)
//	  the node that keeps its process
//	register_or_update_on_node (call)    Register at the holder's own node
//	unregister_on_node (call)            Unregister there
//	DOWN of a process (monitor)          Unregister with [WhyEnded]
//	DOWN of a scope process: purge       NodeDown: hide
//	system_time, ties: keep local        hybrid clock, then node name
//
// So names do not all go through one mailbox. Nodes that meet exchange watermarks, 30 bytes per
// node whatever the number of names, and then only what differs, in bounded pieces, at the
// receiver's pace, whatever changes meanwhile. Gaps are detected by sequence numbers and repaired,
// where syn relies on the order of a TCP link. The tombstone also ends the claim of the loser of a
// conflict, which syn's race needed as a fix. The winner's claim stays as it is: a pure function
// needs no announcement, and a re-stamped winner can't overtake a third claim. A holder registers
// where it lives, and no call waits for another node; its context is the monitor. A flapping link
// costs a vector, not all names again. Two nodes can't both think they are newest.
package replica
