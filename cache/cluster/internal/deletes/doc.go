// Package deletes keeps the book of deletes of a cache that a cluster shares: which there are,
// which were applied here, and which have been reported by whom. It has no network, no goroutines
// and no clock: the caller carries what After and Message return to other nodes. Begin with
// book.go.
//
// # The model
//
// A node's run of the cache is an incarnation, with a random number. It is the origin of its own
// deletes, which it numbers 1, 2, 3 and so on. A delete is of a key, of a tag, which stands for all
// values that bear it, or of everything (a clear). To apply one is to drop what a node has for it
// and to forget the loads under way ([Options].Apply).
//
// A node has a log: the deletes that it knows, its own ones and those of others, in the order in
// which they came. The log has numbers of its own, so that one number says how much of it another
// node has. Deletes of one origin come in their order, so one number says which are known here, and
// one that comes twice is left out. Of each peer, which is another incarnation, a [Book] knows two
// numbers: acked, up to where it has applied this node's log, and received, up to where this node
// has applied its.
//
//   - A node that makes a delete adds it to its log, which shows it in [Book.After], then applies
//     it, and only then reports it. The same goes for deletes that arrive.
//   - A message has the number up to which the sender has applied the receiver's log, and of the
//     sender's own log what follows after the number that the receiver has reported. Where those
//     entries are dropped already, it begins with what they were instead: of each origin the latest
//     number. A receiver that lacks one of them has missed deletes that are forgotten: it resets,
//     which is to drop everything. Its log gets an entry for that origin (missed), on which
//     whoever lacks it too resets. That is the only reset.
//   - A request for a key carries the deletes that matter for the key and that the receiver has not
//     reported: of the key, of a tag (the tags of a value are known only where it is), a clear, or
//     missed ones; and the number of the latest entry that was dropped, if the receiver has not
//     reported that. Mostly there is none. A receiver that has not applied one of them drops the
//     key and does not answer with a value ([Book.Require]), until a message has brought the
//     delete. The sender loads the key itself.
//
// # Who is waited for
//
// Entries are dropped when all peers have reported them, but for the last 1,024, so that nodes
// which start at the same time and do not see each other yet need not reset. Peers are the members,
// and the absentees: those that have vanished without having left, because the network has split or
// they died. An incarnation whose message arrives before it is seen is one too. There are 64
// absentees at most; the oldest is forgotten. Entries number [Options].Max at most, and three
// quarters of that where absentees alone lack them, which leaves room for what members do.
//
// An origin that is no peer any more makes no more deletes. The member with the lowest incarnation
// hands it over: it makes a delete of its own that stands for those of the origin up to a number.
// In each log it comes after these, so whoever has applied it has applied them. Once a node has
// dropped that entry it need not mention the origin any more. If a node finds that the lowest
// member knows what it knows itself, and has not handed an origin over, it does so. What is left of
// a process that has gone is a number, of the latest 1,024, for those that mention it later. So
// books are bounded by members.
//
// # The promise
//
//   - What was loaded before a node received a delete of the key, or of a tag that the value bears,
//     is not given by that node afterwards.
//   - An answer to a node that knows a delete is not a value from before it, whatever the one that
//     answers has missed.
//   - Once nodes have exchanged messages until nothing is lacking, each has applied all deletes
//     that any of them knew.
//
// The first holds since all that is there is dropped, whenever it was loaded, and what was being
// loaded is not kept.
//
// For the others: a node that has applied the log of B up to a number has applied each delete in
// it, or has reset after that was made. It is so for what is in an entry; for what was dropped
// before, since it has what stands in its place, or has reset; and for what a handover stands for,
// by induction, since that came before. What a node leaves out it has had from elsewhere, where the
// same holds.
//
// The second: let B have begun to apply a delete, and ask C. It is in B's log, or stands behind
// what is there. Either C has reported that entry; or the request has it; or it was dropped, and
// the request has the number up to which entries were. B goes by what C itself has reported to B.
// What all members have applied in the view of the origin, or of any third node, says nothing of a
// C that only B sees. C does not ask a third node, and what it has got from one before was asked
// for by this rule as well.
//
// The third: a message has all that its receiver has not reported, or what makes it reset. So any
// node brings any other up to date, also about an origin that is gone.
//
// To apply something twice, or to reset without need, costs loads and breaks no promise. That is
// the way out where something was forgotten.
//
// # Format
//
// Numbers are unsigned varints in their shortest form, incarnations 8 bytes, little-endian. After
// is
//
//	3                                   version
//	sender  number                      up to where its log has to be applied
//	{ origin  number }                  and the deletes of other nodes; 64 numbers at most
//
// and a message is
//
//	4                                   version
//	sender  number                      up to where it has applied the receiver's log
//	2·number + more                     what its log is sent after; more is 1 if not all fits
//	count                               of entries that stand for dropped ones, the first
//	count { origin  number  8·length + kind  key }
//
// Kinds are 0 for a key, 1 for a tag, 2 for a clear, 3 for a handover, whose key is the origin and
// the number in 8 bytes each, 4 for deletes that were missed. A message without news takes 13 bytes
// or a few more. One that this package would write otherwise is refused before anything is done.
// Who can send messages is trusted otherwise: it can delete what it likes.
package deletes
