package clustertest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A saboteur sits between a node's HTTP server and the other nodes. Its modes:
//
//	""         nothing: the cache answers
//	raw        bytes that are no HTTP
//	html       a page, with status 200
//	fault      status 500
//	noise      random bytes, with status 200
//	endless    random bytes without end
//	cut        the cache's answer breaks off
//	half       the half of the cache's answer, as if it were all
//	working    "I am at work" for ever
//	silent     nothing
type saboteur struct {
	net.Listener
	next http.Handler
	mode atomic.Value // string
	quit chan struct{}

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

func newSaboteur(l net.Listener) *saboteur {
	s := &saboteur{Listener: l, quit: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	s.mode.Store("")
	return s
}

func (s *saboteur) is() string {
	mode, _ := s.mode.Load().(string)
	return mode
}

// set changes the mode, and closes the connections of the old one.
func (s *saboteur) set(mode string) {
	s.mode.Store(mode)
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// Accept accepts connections, or answers them itself.
func (s *saboteur) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &tracked{Conn: c, s: s}
	s.mu.Lock()
	s.conns[t] = struct{}{}
	s.mu.Unlock()
	if s.is() == "raw" {
		return &babbling{t}, nil
	}
	return t, nil
}

type tracked struct {
	net.Conn
	s *saboteur
}

func (t *tracked) Close() error {
	t.s.mu.Lock()
	delete(t.s.conns, t)
	t.s.mu.Unlock()
	return t.Conn.Close()
}

// A babbling connection sends random bytes instead of what the server writes.
type babbling struct{ net.Conn }

func (b *babbling) Write(p []byte) (int, error) {
	noise := make([]byte, len(p))
	junk(noise)
	return b.Conn.Write(noise)
}

func junk(b []byte) {
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
}

func (s *saboteur) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := make([]byte, 64<<10)
	switch mode := s.is(); mode {
	case "html":
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, "<html><body>It works!</body></html>")
	case "fault":
		http.Error(w, "internal server error", http.StatusInternalServerError)
	case "noise":
		junk(b)
		_, _ = w.Write(b[:1+rand.IntN(len(b))])
	case "endless":
		for r.Context().Err() == nil {
			junk(b)
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	case "cut", "half":
		s.next.ServeHTTP(&tampered{w}, r)
		if mode == "cut" {
			panic(http.ErrAbortHandler)
		}
	case "working":
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusProcessing)
			s.wait(r, 50*time.Millisecond)
		}
	case "silent":
		s.wait(r, time.Hour)
	default:
		s.next.ServeHTTP(w, r)
	}
}

func (s *saboteur) wait(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.Context().Done():
	case <-s.quit:
	case <-t.C:
	}
}

// A tampered answer differs from the one that the cache wrote.
type tampered struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (t *tampered) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *tampered) WriteHeader(status int) {
	if status >= 200 {
		t.Header().Del("Content-Length")
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *tampered) Write(p []byte) (int, error) {
	t.Header().Del("Content-Length")
	if _, err := t.ResponseWriter.Write(p[:len(p)/2]); err != nil {
		return 0, err
	}
	return len(p), nil
}
