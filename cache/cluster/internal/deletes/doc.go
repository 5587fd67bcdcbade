// Package deletes keeps the book of deletes of a cluster cache: which deletes there are, which were
// applied here, and which of them each peer has reported. It has no network, no goroutines and no
// clock; the caller carries what After and Message return to other nodes. Read book.go first.
//
// # The model
//
// An incarnation is one run of a node, with a random number. It is the origin of its own deletes,
// which it numbers 1, 2, 3 and so on. A delete is of a key, of a tag, which stands for all values
// that bear it, or of everything (a clear). To apply a delete is to drop what the node has for it
// and to forget the loads under way ([Options].Apply).
//
// A node has a log of the deletes that it knows, its own ones and those of others, in the order in
// which they came. The entries of the log have numbers of their own, so that one number says how
// much of the log another node has. Deletes of one origin come in their order, so one number per
// origin says which are known here, and a delete that comes twice is ignored. A peer is another
// incarnation. Of each peer a [Book] knows two numbers: acked, up to which the peer has applied
// this node's log, and received, up to which this node has applied the peer's log.
//
//   - A node that makes a delete adds it to its log, so that [Book.After] shows it, then applies
//     it, and only then reports it. So does a node that receives one.
//   - A message has the number up to which the sender has applied the receiver's log, and of the
//     sender's own log what follows after the number that the receiver has reported. Where those
//     entries are dropped already, it begins with what they were instead: of each origin the latest
//     number. A receiver that lacks one of them has missed deletes that are forgotten: it resets,
//     which is to drop everything. Its log gets an entry for that origin (missed), on which other
//     nodes that lack the deletes reset too. There is no other reset.
//   - A request for a key carries the deletes that matter for the key and that the receiver has not
//     reported: of the key, of a tag (the tags of a value are known only where it is), a clear, or
//     missed ones; and the number of the latest entry that was dropped, if the receiver has not
//     reported that. Mostly there is none. A receiver that has not applied one of them drops the
//     key and does not answer with a value ([Book.Require]), until a message has brought the
//     delete. The sender loads the key itself.
//
// # Which nodes must report a delete
//
// Entries are dropped when all peers have reported them, but the last 1,024 are kept, so that nodes
// which start at the same time and do not see each other yet need not reset. Peers are the members
// and the absentees: those that have vanished without having left, because the network has split or
// they died. An incarnation whose message arrives before it is seen as a member is a peer too.
// There are 64 absentees at most; the oldest is forgotten. There are [Options].Max entries at most,
// and three quarters of that while only absentees lack them, which leaves room for entries that
// members lack.
//
// An origin that is no peer any more makes no more deletes. The member with the lowest incarnation
// hands it over: it makes a delete of its own that stands for those of the origin up to a number.
// In each log it comes after these, so a node that has applied it has applied them. After a node
// has dropped that entry it need not mention the origin any more. A node hands an origin over
// itself if it finds that the lowest member knows what it knows and has not done so. Of a process
// that has gone only a number remains, for the latest 1,024 of them, in case a message mentions it
// later. So books are bounded by members.
//
// # The promise
//
//   - What was loaded before a node received a delete of the key, or of a tag that the value bears,
//     is not given by that node afterwards.
//   - An answer to a node that knows a delete is not a value from before it, whatever the
//     answering node has missed.
//   - Once nodes have exchanged messages until nothing is lacking, each has applied all deletes
//     that any of them knew.
//
// The first holds since applying a delete drops all that is there, whenever it was loaded, and does
// not store what is being loaded.
//
// The others rest on this: a node that has applied the log of B up to a number has applied each
// delete in it, or has reset after that delete was made. This holds for the entries that it got. It
// holds for entries that were dropped before, since it has what stands in their place, or has
// reset. It holds for what a handover stands for, by induction, since that came before. What the
// node ignored it has had from elsewhere, where the same holds.
//
// The second: let B have begun to apply a delete, and ask C. The delete is in B's log, or something
// in B's log stands for it. Then C has reported that entry; or the request has it; or it was
// dropped, and the request has the number up to which entries were dropped. B goes by what C itself
// has reported to B. What all members have applied in the view of the origin, or of any third node,
// says nothing about a C that only B sees. C does not ask a third node, and what C has got from one
// before was asked for by this rule as well.
//
// The third: a message has all that its receiver has not reported, or what makes it reset. So any
// node brings any other up to date, also about an origin that is gone.
//
// To apply a delete twice, or to reset without need, costs loads and breaks no promise. So that is
// what a node does where something was forgotten.
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
// the number in 8 bytes each, 4 for missed deletes. A message without news takes 13 bytes or a few
// more. A message that this package would write in another way is refused before anything is done.
// Apart from that senders are trusted: whoever can send messages can delete what they like.
package deletes
