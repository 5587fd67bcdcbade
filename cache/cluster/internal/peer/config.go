package peer

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// Config configures a Client and a Server. It must not be changed after one of them was made with
// it. The fields without "if set" and all but Errors are needed.
type Config struct {
	Node        string // the name of this node, any string
	Incarnation uint64 // a random number, another one after each restart
	Cache       string // the name of the cache: a request for another one is refused

	// Identity, if set, makes the Server refuse requests, and the Client refuse answers, that did not
	// come over TLS from somebody with an accepted key.
	Identity *Identity

	// TLS, if set, configures how the Client connects to https URLs, and makes the Server refuse
	// requests without a client certificate that was verified. It is ignored if there is an Identity.
	TLS *tls.Config

	// Authorize, if set, is called by the Server for each request before anything else. If it returns
	// an error, the request is refused.
	Authorize func(*http.Request) error

	MaxKey   int // bytes of a key
	MaxValue int // bytes of a value
	// bytes of a message about deletes, of the deletes in a request for a key, and of their answers
	MaxMessage int
	// how many requests for keys the Server works at, at a time; and as many about deletes
	MaxRequests int

	// PeerTimeout bounds how long the Client waits while it receives nothing.
	PeerTimeout time.Duration

	// Propagator, if set, carries the trace of a context.
	Propagator Propagator

	// Errors are the errors that errors.Is finds in a LoadError of another node, by names that are the
	// same on all nodes.
	Errors map[string]error

	// Logger gets requests that were refused (Debug), panics of a Backend (Warn), and nodes that are
	// passed over (Warn, or Info if they may be down) and work again (Info).
	Logger *slog.Logger
}

// A Propagator carries a trace from the context of a caller to the context of Load on another node.
// It has the methods of OpenTelemetry's propagators, with http.Header for the carrier. Its methods
// are called by several goroutines at a time.
type Propagator interface {
	// Inject adds to header what the other node needs to continue the trace.
	Inject(ctx context.Context, header http.Header)
	// Extract returns ctx with what Inject put into header on the other node.
	Extract(ctx context.Context, header http.Header) context.Context
}
