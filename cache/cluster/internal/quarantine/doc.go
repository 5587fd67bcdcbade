// Package quarantine keeps, for one node, the record of keys whose load may end the process that
// runs it, and decides which node may load such a key. It opens no connection, starts no goroutine
// and reads no clock but the one that it is given; package cluster carries its messages and obeys
// its verdicts.
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
//	1        suspect: one node at a time tries it ([Book.Trier], [Book.Begin])
//	2, more  quarantined: no node loads it for a while; then it is suspect again
//
// A node begins a trial, makes all members confirm that they know of it, and loads the key only if
// none of them had begun one too ([Book.Ready]). So of two nodes that want to try one key at the
// same time at most one goes on: the message of each reaches the other before the other is
// confirmed, and whoever sees the other's trial withdraws. If the trier dies, the survivors know
// which key it tried, and count a second death for that key and for no other. If it lives, it ends
// the trial, which forgives the deaths of the key ([Book.End]).
//
// The first trials on a node after a death are alone there, so that a second death convicts one
// key. As they end well there may be more and more at a time: keys that are under way when a busy
// node dies are many, and at most one is to blame.
//
// # Merging
//
// A record has, for each incarnation, five counters: deaths and how many of them are forgiven,
// trials that it has begun and that have ended, and the last one that it did not survive. They only
// grow, and two records are merged by taking the larger of each: in any order and any number of
// times, all nodes arrive at the same record. A counter instead of a flag keeps what is forgiven
// once from being forgiven for ever. Times are not merged: a message says how long ago the last
// death was, and each node counts on from there by its own clock.
//
// # Limits
//
// A death is unseen if no other node asks for the key until its owner is no member any more. Two
// nodes that load one key at the same time may both die, before either is known to have. Keys that
// were under way beside the one that kills become suspect as well, and are cleared by their trials
// one after the other. A book holds [Options].Max records; the oldest go, those that are clear
// first.
package quarantine
