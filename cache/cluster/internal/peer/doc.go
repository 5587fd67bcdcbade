// Package peer is how the nodes of a cluster ask each other, over net/http: a [Server] that is mounted under any prefix
// of the user's server, and a [Client]. HTTP/2 is meant, over TLS or without; HTTP/1.1 works, with a connection for
// each request under way.
//
// # Messages
//
// There are two requests, both POST:
//
//	<prefix>/v1/fetch      a key, and what deletes the answer must not be older than
//	<prefix>/v1/deletes    a message about deletes, answered by another one
//
// The body of the first is how late the asker's last request for the key is (courier.LateAge) in milliseconds and the
// length of the deletes, as uvarints, the deletes, and the key as it is; that of the second is the message. A key is thus any bytes, and is never part of a path or header. These headers must be there,
// once each:
//
//	Snowfence-Protocol   1
//	Snowfence-Cache      the name of the cache, escaped as in a query
//	Snowfence-Node       the name of the asker, escaped
//	Snowfence-From       its run: 16 hexadecimal digits
//	Snowfence-To         the run of the node that is meant
//	Snowfence-Silence    how long the asker hears nothing before it gives up, in ns
//	Snowfence-Timeout    how long it waits in all, in ns; only if there is such a bound
//	Snowfence-Auth       only with shared keys, see below
//	Content-Length
//
// and whatever a [Propagator] adds, which is bounded, and can be none of these. An answer has Snowfence-Protocol,
// Snowfence-Length (of its body: also a proxy that loses the end of it is found out), with shared keys Snowfence-Auth,
// and Snowfence-Answer:
//
//	value       200  the value, or message; Snowfence-Keep: how much longer it is kept in ns (below 0: for ever)
//	misplaced   421  the node does not own the key (RFC 9110, 15.5.20); the body says who it thinks does
//	failed      500  an error of Load: its kind, text (4 KiB at most), stack (16 KiB), and which known errors it is
//	oversize    422  the value is larger than Config.MaxValue of the node; the body is its size, and that
//	busy        503  Config.MaxRequests are under way, or the Backend has too much to do
//	closing     503  the node is going
//	denied      401  no, wrong or used credentials; 403 if Config.Authorize said no
//	sign-again  401  the stamp of the request is out of date; the body is the epoch to use
//	version     505  another version of the protocol
//	differs     409  another cache, or another run of the node
//	malformed   4xx  not a request of this protocol
//	too-large   413  the request is
//
// Anything that lacks these headers is not from a Server, and never a value. Redirects are not followed.
//
// # Life
//
// While the Backend is at work the Server sends 102 (Processing; RFC 2518) at every quarter of the asker's silence. The
// Client gives up when it has heard nothing for Config.Silence, be it while connecting, before the answer or within it;
// an interim answer and any byte of a body count, in both directions. So one that is at work for long is waited for,
// and one that is dead, stopped or cut off is not. A proxy between nodes must pass interim answers on.
//
// When a caller leaves, its request is cancelled, and the Backend's context ends. Should that get lost, because the
// line is cut, Snowfence-Timeout and the silence after it end it, or the server's pings, see [HTTP2].
//
// # Limits
//
// A Server works at no more than Config.MaxRequests at a time; more are told so at once. It reads no body that is
// larger than its limits, and takes memory as bytes arrive, not as they are announced. An asker that stops sending its
// request or reading its answer is dropped after four times the Server's Config.Silence, and a second at least: for
// that the ResponseWriter must know deadlines, as that of net/http does (a middleware that wraps it must have a method
// Unwrap).
//
// # Authentication
//
// With shared keys, requests and answers have an HMAC-SHA-256. That of a request is made of
//
//	"snowfence peer request 1" 0, endpoint, cache, node, from, to, epoch, counter, silence, timeout (or 0),
//	the body's length, the body
//
// where names have their length as a uvarint before them and numbers are 8 bytes, big endian; Snowfence-Auth is epoch
// and counter, 16 digits each, and the MAC, 64 digits, with spaces between. That of an answer is made of
//
//	"snowfence peer answer 1" 0, the request's MAC, the kind (one byte, 1 to 12 in the order above), keep,
//	the body's length, the body
//
// with the key that the request was signed with. The first key of a node signs, all are accepted: to change keys add
// the new one as the second everywhere, then make it the first, then drop the old one. MACs are compared in constant
// time. Whether a request is for this cache and run is only told to those who have a key.
//
// An answer is believed only with the right MAC, but for those that bring neither a value nor an error of Load nor the
// name of another node, which may come before it is known who asks: who can send these falsely can as well cut the
// line.
//
// Requests can't be replayed, and no clock is needed for that. A request says which run it is for, so it is good for no
// other node, nor for this one after a restart. Each asker counts its requests, and a Server remembers of each run
// which of its last 4,096 counters were used (the window of RFC 4303, appendix A2, kept as in RFC 6479); lower ones are
// refused. It remembers 4,096 runs. When there are more it drops them all and takes a new epoch, a random number: what
// was signed for another epoch is refused for ever, however old. Authentic requests that are refused for their epoch,
// or since too many have overtaken them, are answered with sign-again, and the Client does so, once. The first epoch is
// the node's run, so that nobody has to ask for it.
//
// What this does not do: hide anything (keys, values and names go in the clear: use TLS for that), cover trace headers
// and interim answers (who sits on the line can make an asker wait until its deadline), or keep out who has a key. All
// who share a key are believed which node they are.
//
// # Failing nodes
//
// A node that fails five times in a row is passed over for one to two seconds; then one request tries it, and those
// that come meanwhile pass it over still: the circuit breaker of Nygard's "Release It!", by github.com/sony/gobreaker.
// Silence, a broken connection, rubbish, a denial, and another version are failures. A node that is busy or closing,
// knows of another owner, or tells of an error of Load, is well. A caller who leaves is neither. Nothing is retried,
// but that net/http itself sends a request again which it knows was not processed.
//
// # What is not promised
//
// A Server may do a request whose asker has given up. An [UnavailableError] does not mean that nothing was done. The
// order of requests is not kept. Two Clients of the same run are taken for each other's replays.
package peer
