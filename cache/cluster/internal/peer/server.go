package peer

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A Value is the result of a Fetch. Keep is the rest of its TTL as from cache.Cache.Peek: 0 if it
// is not stored, cache.Forever if it does not expire, negative if it is stale.
type Value struct {
	Data []byte        // must not be changed
	Keep time.Duration // how much longer it is fresh at the owner
}

// A Backend answers the requests of other nodes. Its methods are called by several goroutines at a
// time. ctx ends when the asker has left. The Backend may keep the slices that it gets.
type Backend interface {
	// Fetch returns the value of key for the node from, after applying the deletes that after stands
	// for. Its error is a *MisplacedError, a *SuspectError, ErrBusy, ErrClosing, or the error of Load.
	// The asker gets that one as a *LoadError, but courier.ErrOverloaded and courier.ErrClosed count
	// as ErrBusy and ErrClosing.
	Fetch(ctx context.Context, from, key string, after []byte) (Value, error)
	// Try does what Fetch does for a key that this node is to try, though it may not own it, since its
	// load may end the node. record is what from knows of the key.
	Try(ctx context.Context, from, key string, after, record []byte) (Value, error)
	// FetchMany does what Fetch does for several keys. Outcome i is that of asks[i], with an error as
	// of Fetch. Keys may repeat. All keys are parts of one string, so a key that is kept for long is
	// to be cloned.
	FetchMany(ctx context.Context, from string, asks []Ask) []Outcome
	// Exchange merges a message about deletes from the node from, and returns the answering one. Its
	// error is ErrBusy, ErrClosing, or says what is wrong with the message.
	Exchange(ctx context.Context, from string, message []byte) ([]byte, error)
}

// A Server answers the requests of other nodes' Clients. It may be mounted under any prefix, on any
// number of HTTP servers.
type Server struct {
	config  Config
	backend Backend
	refused [len(kinds)]atomic.Uint64

	mu      sync.Mutex // guards what follows
	running map[*serverRequest]struct{}
	loading int // how many of running are not about deletes
	closed  bool
	idle    chan struct{} // closed when the Server is closed and nothing runs
}

// NewServer returns a Server.
func NewServer(c Config, b Backend) *Server {
	return &Server{
		config:  c,
		backend: b,
		running: make(map[*serverRequest]struct{}),
		idle:    make(chan struct{}),
	}
}

// ServeHTTP answers one request. It blocks as long as the Backend does.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(context.Canceled)
	w := &serverRequest{server: s, r: r, cancel: cancel, pulse: newPulse(rw, s.config.PeerTimeout)}
	e, no := w.admit()
	if no == nil {
		w.endpoint = e
		no = s.enter(w)
	}
	if no != nil {
		// net/http may read the rest of the request before it answers; this bounds that.
		_ = w.pulse.ctl.SetReadDeadline(time.Now().Add(w.pulse.partTimeout))
		w.refuse(no)
		return
	}
	defer s.leave(w)
	w.serve(ctx)
}

// enter admits w, or returns why not. Messages about deletes have a limit of their own: long loads
// must not keep them out.
func (s *Server) enter(w *serverRequest) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	others := s.loading
	if w.endpoint == deletesEndpoint {
		others = len(s.running) - s.loading
	}
	switch {
	case s.closed:
		return refuse(closing, "this node is closing")
	case others >= s.config.MaxRequests:
		return refuse(busy, "this node is at work on as many requests as it may")
	}
	s.running[w] = struct{}{}
	if w.endpoint != deletesEndpoint {
		s.loading++
	}
	return nil
}

func (s *Server) leave(w *serverRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, w)
	if w.endpoint != deletesEndpoint {
		s.loading--
	}
	s.checkIdle()
}

// checkIdle closes idle if the Server is closed and nothing runs. mu is held.
func (s *Server) checkIdle() {
	if !s.closed || len(s.running) > 0 {
		return
	}
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
}

// Refused has the counts of the requests that a Server refused.
type Refused struct {
	Busy            uint64 // above Config.MaxRequests, or the Backend said so, or closing
	Misplaced       uint64 // for a key that this node does not own
	Unsendable      uint64 // for a value that is too large, or can't be encoded
	Unauthenticated uint64 // no or wrong credentials
	Malformed       uint64 // not of this protocol, or too large
	OtherVersion    uint64 // of another version, or for another incarnation or cache
}

// Refused returns how many requests were refused since the Server was made.
func (s *Server) Refused() Refused {
	sum := func(kinds ...kind) (n uint64) {
		for _, k := range kinds {
			n += s.refused[k].Load()
		}
		return n
	}
	return Refused{
		Busy:            sum(busy, closing),
		Misplaced:       sum(misplaced),
		Unsendable:      sum(oversize, unsendable),
		Unauthenticated: sum(denied),
		Malformed:       sum(malformed, tooLarge),
		OtherVersion:    sum(otherVersion, otherCache, otherIncarnation),
	}
}

// Close makes the Server refuse new requests as closing, and waits until the requests that are
// under way are answered. If ctx ends sooner, their contexts end too, and Close returns the cause
// of ctx. It may be called again, to wait again.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.checkIdle()
	s.mu.Unlock()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.running {
		w.cancel(ErrClosing)
	}
	if len(s.running) == 0 {
		return nil
	}
	return context.Cause(ctx)
}
