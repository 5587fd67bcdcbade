// Package peer carries the requests of the nodes of a cluster over net/http: a [Server] that is
// mounted under any prefix of the user's server, and a [Client].
//
// # Messages
//
// There are three requests, all POST:
//
//	<prefix>/v1/fetch      a key, and what deletes the answer must not be older than
//	<prefix>/v1/fetch-many the same for up to 8,192 keys
//	<prefix>/v1/deletes    a message about deletes, answered by another one
//
// The body of the first is how late the asker's last request for the key is (courier.LateAge) in
// milliseconds and the length of the deletes, as uvarints, the deletes, and the key as it is; that
// of the third is the message. That of the second is, with numbers as uvarints,
//
//	how late the asker's last request is, in ms
//	the largest value that the asker takes, in bytes
//	count, { length of the deletes + 1, or 0 for those of the key before  deletes  length  key }
//
// A key is thus any bytes, and is never part of a path or header. The headers of a request are
// Content-Length, Snowfence-Timeout if there is a bound on how long the asker waits in all (in ns),
// what a [Propagator] adds, within bounds, and Snowfence-Request, with a space between its fields:
//
//	1        the version of the protocol
//	cache    its name, escaped as in a query
//	asker    its name, escaped
//	run      of the node that is meant: 16 hexadecimal digits
//	silence  how long the asker hears nothing before it gives up, in ns
//
// An answer has Snowfence-Answer:
//
//	1        the version of the protocol
//	kind     see below
//	length   of the body: a proxy that loses the end of it is found out
//	keep     of a value: how much longer it is fresh, in ns; 0: not kept; 2^63-1: for
//	         ever; below 0: it is stale
//	signs    how many life signs there were before it
//
// The kinds of answers are:
//
//	value       200  the value, or message
//	misplaced   421  the node does not own the key (RFC 9110, 15.5.20); the body has the owner
//	failed      500  an error of Load: its kind, text (to 4 KiB), stack (to 16 KiB), known errors
//	oversize    422  the value is larger than the node's Config.MaxValue; the body has both
//	unsendable  422  the value can't be encoded
//	busy        503  Config.MaxRequests are under way, or the Backend has too much to do
//	closing     503  the node is going
//	denied      401  who asks is not known; 403 if Config.Authorize said no
//	version     505  another version of the protocol
//	cache       409  another cache; the body is its name
//	run         409  another run of the node, or another node; the body is its name
//	malformed   4xx  not a request of this protocol
//	too-large   413  the request is
//
// The answer about many keys is one value: the outcome of each key, in their order. It is as long
// as the largest value may be, and some more, so that it takes no more memory than the answer about
// one.
//
//	kind      a byte; 1 to 7: value to closing as above; 0: there was no room, ask again
//	keep      of a value, as above, as a varint
//	length    of the body, as a uvarint; not if the kind is 0
//	body      as above; an empty one of a failure stands for that of the failure before
//
// Whatever lacks that header is not from a Server, and never a value. Redirects are not followed.
//
// # Life
//
// While the Backend is at work the Server sends a life sign, 102 (Processing; RFC 2518), at every
// quarter of the asker's silence. The Client gives up when it has heard nothing for Config.Silence,
// be it while connecting, before the answer or within it; a life sign and any byte of a body count,
// in both directions. So a node that is at work for long is waited for, and one that is dead,
// stopped or cut off is not. The Client compares the life signs that have arrived with those that
// were sent: if some were lost, something between the nodes drops interim answers, or holds them
// back.
//
// When a caller leaves, its connection is closed, and the Backend's context ends. If the line is
// cut, Snowfence-Timeout and the silence after it end that, or the Backend.
//
// # Limits
//
// A Client sends 128 requests to one node at a time; others wait for half of Config.Silence, and
// are refused then. A Server works at Config.MaxRequests at a time, and refuses others at once.
// Before a request takes one of these places it is known who asks, and that this node is meant. A
// Server reads no body that is larger than its limits, and takes memory as bytes arrive, not as
// they are announced. An asker that stops sending its request or reading its answer is dropped
// after four times the Server's Config.Silence, and a second at least: for that the ResponseWriter
// must know deadlines, as that of net/http does (a middleware that wraps it must have a method
// Unwrap).
//
// # Authentication
//
// Peers authenticate by TLS: with certificates of the user's (Config.TLS), or with an [Identity]
// that is derived from shared keys. HKDF-SHA-256 makes an Ed25519 key of each shared key, and that
// signs its own certificate. Both sides must show one, and compare its public key with those of all
// their keys. All who share a key are believed which node they are.
//
// # Failing nodes
//
// A node that fails five times in a row is passed over for one to two seconds; then one request
// tries it, and those that come meanwhile pass it over still: the circuit breaker of Nygard's
// "Release It!", by github.com/sony/gobreaker. A node that is busy, closing or restarted, knows of
// another owner, or tells of an error of Load, is well. A caller who leaves says nothing of it.
// Each [Reason] is logged once, until the node works again. Nothing is retried but a request whose
// connection the node had closed before: that is sent once more.
//
// # What is not promised
//
// A Server may do a request whose asker has given up, or twice. An [UnavailableError] does not mean
// that nothing was done. The order of requests is not kept.
package peer
