// Package quarantine keeps, for one node, the record of keys whose load may end the process that
// runs it, and decides which node may load such a key. It opens no connection and starts no
// goroutine; package cluster carries its messages and obeys its verdicts. Read book.go first (what
// is kept, and the verdict), then evidence.go (deaths), trial.go (trials) and wire.go (messages).
//
// # Evidence
//
// A node that asks another one for a key and loses the connection while the request is under way
// notes a death: the incarnation of the asked node went with a load of the key ([Book.Lost]).
// Silence is no evidence, since a node may be stopped or cut off; nor is an answer. That no process
// listens any more where one has answered before counts as well, once for a key ([Book.Refused]):
// the owner may have died of its own callers' load, before anybody asked, and then all nodes would
// load the key at once in its place. An incarnation that finds its own death in a message forgives
// it, so an accusation by a connection that broke for another reason lasts one round trip.
//
// # States of a key
//
//	deaths   state
//	0        clear: whoever owns it loads it
//	1        suspect: one node at a time tries it (the Trier of a [Verdict], [Book.Begin])
//	2, more  quarantined: no node loads it for a while; then it is suspect again
//
// A node begins a trial, makes all members confirm that they know of it, and loads the key only if
// none of them had begun one too ([Book.Ready]). So of two nodes that want to try one key at the
// same time at most one goes on: the message of each reaches the other before the other is
// confirmed, and whoever sees the other's trial withdraws. If the trier dies, the survivors know
// which key it tried, and count a second death for that key and for no other. If the load returns,
// all deaths of the key are forgiven ([Book.End]).
//
// The first trials on a node after a death are alone there, so that a second death convicts one
// key. As they end well there may be more and more at a time: keys that are under way when a busy
// node dies are many, and at most one is to blame. A load that takes longer than half a second
// holds no others up, so a key that kills slowly may convict those that were begun beside it.
//
// Of a batch in the place of a dead owner too many keys would have to be tried one after the other.
// So it is only announced ([Book.Announce]): if it ends its node, its keys are suspect.
//
// # Merging
//
// A record has two counters for each incarnation: one of deaths and what became of them, one of
// trials. They only grow, and two records are merged by taking the larger of each: in any order and
// any number of times, all nodes arrive at the same record. Times are not merged: a message says
// how long ago the last death was, and each node counts on from there by its own clock.
//
// # Limits
//
// A death is unseen if no other node asks for the key until its owner is no member any more. Two
// nodes that load one key at the same time may both die, before either is known to have. Keys that
// were under way beside the one that kills become suspect as well, and are cleared by their trials.
// A book holds 1,024 records; the oldest go, those that are clear first. The trial of an
// incarnation that is no member here is not believed, since nobody would say that it has ended.
package quarantine
