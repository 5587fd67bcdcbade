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
// and to forget the loads under way ([Options].Apply). Deletes of one origin are applied in their
// order, so one number says which were.
//
// A [Book] has a chapter for each origin that it knows: applied, the number up to which all its
// deletes were applied here; base, the number up to which their details are forgotten; and the
// details of those in between. It has a peer for each other incarnation: the numbers that this one
// has reported as applied.
//
//   - A node that makes a delete gives it a number and shows it in [Book.After], then applies it,
//     and only then reports it. The same goes for deletes that arrive.
//   - A message has the sender's numbers, for each origin, and for each chapter of which the
//     receiver has reported less than the sender has: the number that it must have, and the details
//     that follow. A receiver that has that number applies the details. One that has not has missed
//     deletes that are forgotten: it resets, which is to drop everything, and takes the number
//     over. That is the only reset, but for the one below.
//   - A request for a key carries, of each origin, the number of the latest delete that matters for
//     the key and that the receiver has not reported: of the key, of a tag (the tags of the value
//     are known only where it is), a clear, or base. Mostly there is none. A receiver that has not
//     applied one of them drops the key and does not answer with a value ([Book.Require]), until a
//     message has brought the delete. The sender loads the key itself.
//
// # Who is waited for
//
// Details are forgotten when all peers have reported them, but for the last 1,024, so that nodes
// which start at the same time and do not see each other yet need not reset. Peers are the members,
// and the absentees: those that have vanished without having left, because the network has split or
// they died. An incarnation whose message arrives before it is seen is one too. There are 64
// absentees at most; the oldest is forgotten. Details number [Options].Max at most; past that those
// of the longest chapters are forgotten, whoever lacks them.
//
// An origin that has left makes no more deletes. When all peers have reported the last one, the
// eldest node adds a delete of its own that hands the origin over: whoever applies it must have the
// origin's deletes up to a number, or resets. Then each node ends the chapter once all its peers
// have reported that number. The eldest is the node that sees no member which was there before it
// did: it has seen most of those that may come back. So chapters are bounded by members; nothing is
// kept of a process that has left but a number in a ring, for those that mention it later.
// Absentees are waited for while 64 origins or fewer are to be handed over, members while 1,024 or
// fewer are.
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
// The second: let node B have begun to apply a delete, and ask C. While B has the chapter of its
// origin, either C has reported the number, and so has applied it or reset after it; or the request
// has it, since it is above what C has reported and is in the details or below base. That is why B
// goes by what C itself has reported to B. What all members have applied in the view of the origin,
// or of any third node, says nothing of a C that only B sees. If B has ended the chapter, a
// handover stands for it, in a chapter that B has or for which, by induction, another handover
// stands. C had reported the origin's number then; or B remembers the number of the handover for C
// (the floor) and has it in each request until C has reported that. An incarnation that B counts
// later has all handovers for floors. And whoever reports a handover had the origin's deletes, or
// has reset. C does not ask a third node, and what it has got from one before was asked for by this
// rule as well.
//
// The third: a message has all that its receiver has not reported, or the base that makes it reset.
// So any node brings any other up to date, also about an origin that is gone.
//
// To apply something twice, or to reset without need, costs loads and breaks no promise. That is
// the way out where something was forgotten.
//
// # Format
//
// Numbers are unsigned varints in their shortest form, incarnations 8 bytes, little-endian. After
// is
//
//	2                                   version, a byte
//	{ origin  number }                  64 at most; with none, the key is dropped
//
// and a message is
//
//	3                                   version, a byte
//	flags                               a byte; 1: the vector is full, 2: the receiver lacks more
//	sender
//	version of the vector, version of the receiver's vector that the sender has
//	count { origin  2·applied + ended }
//	                                    the vector: all of it, or what the receiver has mentioned;
//	                                    ended is 1 if the sender has ended that chapter
//	count { origin  number  count { 4·length + kind  key } }
//	                                    chapters: the number that the receiver must have, and the
//	                                    deletes that follow it
//
// Kinds are 0 for a key, 1 for a tag, 2 for a clear, 3 for a handover, whose key is the origin and
// the number. A message without news takes 14 bytes or a few more. One that has anything that this
// package would write otherwise is refused before anything is done. Who can send messages is
// trusted otherwise: it can delete what it likes.
package deletes
