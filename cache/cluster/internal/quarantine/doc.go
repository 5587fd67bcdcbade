// Package quarantine keeps, for one node, the records of keys whose load may end the process that
// runs it, and decides which node may load such a key. It opens no connection and starts no
// goroutine; package cluster carries its messages and obeys its verdicts. Read book.go first
// (records and the verdict), then evidence.go (deaths), trial.go (trials) and wire.go (messages).
//
// # Evidence
//
// A node that asks another one for a key and loses the connection while the request is under way
// notes a death: the asked incarnation died during a load of the key ([Book.Lost]). Silence is no
// evidence, since a node may be stopped or cut off, and an answer is none. A refused connection to
// a node that has answered before counts as well, once for a key ([Book.Refused]): the owner may
// have died of a load for its own callers before any other node asked, and then all nodes would
// load the key in its place at once. An incarnation that finds its own death in a message forgives
// it, so an accusation because of a connection that broke for another reason lasts one round trip.
//
// # States of a key
//
//	deaths   state
//	0        clear: its owner loads it
//	1        suspect: one node at a time tries it (the Trier of a [Verdict], [Book.Begin])
//	2, more  quarantined: no node loads it for a while; then it is suspect again
//
// A node begins a trial, waits until all members have confirmed that they know of it, and loads the
// key only if none of them has begun one too ([Book.Ready]). So of two nodes that want to try one
// key at the same time at most one goes on: the message of each reaches the other before the other
// is confirmed, and a node that sees another's trial withdraws. If the trier dies, the survivors
// know which key it tried, and count a second death for that key and for no other. If the load
// returns, all deaths of the key are forgiven ([Book.End]).
//
// After a death, trials are one at a time on each node, so that a second death convicts one key. As
// trials end well, more and more may run at a time: when a busy node dies many keys are under way,
// and at most one is to blame. A load that takes longer than half a second holds no other trial up,
// so a key that kills slowly may convict those that were begun beside it.
//
// A batch in the place of a dead owner has too many keys to try them one after the other. So the
// batch is only announced ([Book.Announce]): if it ends its node, its keys are suspect.
//
// # Merging
//
// A record has two counters for each incarnation: one of deaths and of whether they are forgiven,
// one of trials. They only grow, and two records are merged by taking the larger of each: in any
// order and any number of times, all nodes arrive at the same record. Times are not merged: a
// message says how long ago the last death was, and each node counts on from there by its own
// clock.
//
// # Limits
//
// A death is unseen if no other node asks for the key while its owner is a member. Two nodes that
// load one key at the same time may both die, before either death is known. Keys that were under
// way beside the one that kills become suspect as well, and are cleared by their trials. A book
// holds 1,024 records; the oldest go first, of those that are clear if there are any. The trial of
// an incarnation that is no member here is ignored, since nobody would report its end.
package quarantine
