// Package peer carries the requests of the nodes of a cluster over net/http: a [Server] that is
// mounted under any prefix of the user's server, and a [Client]. Read client.go and attempt.go
// first, the way of a request, and then server.go and request.go, the other end of it. many.go has
// both ends of requests for many keys; wire.go and loadwire.go have the formats, and errors.go says
// why a node gives no answer.
//
// # Messages
//
// There are four requests, all POST:
//
//	<prefix>/v1/fetch      a key, and what deletes the answer must not be older than
//	<prefix>/v1/try        the same, and the record of a key whose load may end the node
//	<prefix>/v1/fetch-many the same as fetch for up to 8,192 keys
//	<prefix>/v1/deletes    a message about deletes, answered by another one
//
// The body of fetch is how late the asker's last request for the key is (courier.LateAge) in
// milliseconds and the length of the deletes, as uvarints, the deletes, and the key as it is. The
// body of try is the length of the record, as a uvarint, the record, and the body of fetch. The
// body of deletes is the message. The body of fetch-many is, with numbers as uvarints,
//
//	how late the asker's last request is, in ms
//	the largest value that the asker takes, in bytes
//	count, { length of the deletes + 1, or 0 for those of the key before  deletes  length  key }
//
// So a key may be any bytes, and is never part of a path or header. The headers of a request are
// Content-Length, Snowfence-Timeout if there is a bound on how long the asker waits in all (in ns),
// what a [Propagator] adds, within bounds, and Snowfence-Request, with a space between its fields:
//
//	1        the version of the protocol
//	cache    its name, escaped as in a query
//	asker    its name, escaped
//	run      the incarnation that is meant: 16 hexadecimal digits
//	silence  the asker's peer time-out, in ns
//
// An answer has Snowfence-Answer:
//
//	1        the version of the protocol
//	kind     see below
//	length   of the body, to detect a proxy that loses the end of it
//	keep     of a value: how much longer it is fresh, in ns; 0 if it is not kept; 2^63-1
//	         for ever; below 0 if it is stale
//	signs    how many life signs the Server has sent before it
//
// The kinds of answers are:
//
//	value       200  the value, or message
//	misplaced   421  the node does not own the key (RFC 9110, 15.5.20); the body has the owner
//	failed      500  an error of Load: its kind, text (to 4 KiB), stack (to 16 KiB), known errors
//	oversize    422  the value is larger than the node's Config.MaxValue; the body has both
//	unsendable  422  the value can't be encoded
//	suspect     423  a load of the key may end the node; the body is the key's record
//	busy        503  Config.MaxRequests are under way, or the Backend has too much to do
//	closing     503  the node is closing
//	denied      401  the asker is not authenticated; 403 if Config.Authorize refused it
//	version     505  another version of the protocol
//	cache       409  another cache; the body is its name
//	run         409  another incarnation of the node, or another node; the body is its name
//	malformed   4xx  not a request of this protocol
//	too-large   413  the request is too large
//
// The answer to fetch-many is one value: the outcome of each key, in their order. It is little
// longer than the largest value may be, so it takes no more memory than the answer about one key.
//
//	kind      a byte; 1 to 8: value to closing as above; 0 if there was no room: ask again
//	keep      of a value, as above, as a varint
//	length    of the body, as a uvarint; not if the kind is 0
//	body      as above; an empty body of a failure stands for the body of the failure before
//
// A response without that header is not from a Server, and never a value. Redirects are not
// followed.
//
// # Life
//
// While the Backend is at work the Server sends a life sign, 102 (Processing; RFC 2518), at every
// quarter of the asker's peer time-out. The Client gives up when it has received nothing for
// Config.PeerTimeout, while connecting, before the answer or within it. A life sign and any byte of
// a body count, in both directions. So a node that is at work for long is waited for, and one that
// is dead, stopped or cut off is not. The Client compares the life signs that have arrived with
// those that were sent: if some were lost, something between the nodes drops interim answers or
// holds them back.
//
// When a caller leaves, its connection is closed, and the Backend's context ends. If the line is
// cut, that context ends at Snowfence-Timeout plus the asker's peer time-out, or the Backend ends
// on its own.
//
// # Limits
//
// A Client sends at most 128 requests to one node at a time. Others wait for half of
// Config.PeerTimeout, and are refused then. A Server works at Config.MaxRequests at a time, and
// refuses others at once. A request takes its place there only after its asker is authenticated and
// this node is the one that is meant. A Server reads no body that is larger than its limits, and
// takes memory as bytes arrive, not as they are announced. An asker that stops sending its request
// or reading its answer is dropped after four times the Server's Config.PeerTimeout, and not before
// a second. For that the ResponseWriter must support deadlines, as that of net/http does (a
// middleware that wraps it must have a method Unwrap).
//
// # Authentication
//
// Peers authenticate by TLS: with the user's certificates (Config.TLS), or with an [Identity] that
// is derived from shared keys. HKDF-SHA-256 makes an Ed25519 key of each shared key, and that key
// signs its own certificate. Both sides must show a certificate, and compare its public key with
// those of all their keys. All who share a key are believed about which node they are.
//
// # Failing nodes
//
// A node that fails five times in a row is passed over for one to two seconds. Then one request
// tries it; those that come meanwhile still pass it over. This is the circuit breaker of Nygard's
// "Release It!", by github.com/sony/gobreaker. A node that is busy, closing or restarted, that
// names another owner, or that answers with an error of Load, has not failed. A request whose
// caller leaves counts neither way. Each [Reason] is logged once, until the node works again.
// Nothing is retried but a request whose connection the node had closed before: that is sent once
// more.
//
// # What is not promised
//
// A Server may do a request whose asker has given up, and may do a request twice. An
// [UnavailableError] does not mean that nothing was done. Requests may overtake each other.
package peer
