package peer

import (
	"context"
	"net/http"
	"time"
)

// A Value is what a Fetch brings.
type Value struct {
	Data []byte        // must not be changed
	Keep time.Duration // how much longer the owner keeps it. Negative: for ever; 0: not at all
}

// A Backend does what other nodes ask for. Its methods are called at the same time; ctx ends when the asker has left.
type Backend interface {
	// Fetch returns the value of key for the node from, after the deletes that after stands for have been applied. Its error is a
	// *MisplacedError, ErrBusy, ErrClosing, or whatever became of Load: the asker gets that as a *LoadError, but for
	// courier.ErrOverloaded and courier.ErrClosed, which count as ErrBusy and ErrClosing.
	Fetch(ctx context.Context, from, key string, after []byte) (Value, error)
	// Exchange takes a message about deletes from the node from, and returns the one that goes back.
	Exchange(ctx context.Context, from string, message []byte) ([]byte, error)
}

// A Server answers the requests of other nodes' Clients. It may be mounted under any prefix.
type Server struct {
	config  Config
	backend Backend
}

// NewServer makes a Server.
func NewServer(c Config, b Backend) *Server {
	return &Server{config: c.withDefaults(), backend: b}
}

// ServeHTTP answers one request. It blocks as long as the Backend does.
func (s *Server) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, errNotYet.Error(), http.StatusNotImplemented)
}

// Refused counts the requests that a Server refused.
type Refused struct {
	Busy            uint64 // above Config.MaxRequests, or the Backend said so
	Misplaced       uint64 // for a key that the Backend does not own
	Unauthenticated uint64 // no, wrong or used credentials
	Malformed       uint64 // not of this protocol, or too large
	OtherVersion    uint64 // of another version, or for another node, run or cache
}

// Refused returns how many requests were refused since the Server was made.
func (s *Server) Refused() Refused { return Refused{} }

// Close makes the Server answer that it is closing, ends the contexts of what the Backend does, and waits until all requests are
// answered or ctx ends, and returns the cause in that case. It may be called again.
func (s *Server) Close(context.Context) error { return nil }
