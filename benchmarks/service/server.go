package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"time"
)

// A job is the first line that a server's process reads.
type job struct {
	Library  string        `json:"library"`
	Database string        `json:"database"` // the path
	TTL      time.Duration `json:"ttl_ns"`
	Timeout  time.Duration `json:"timeout_ns"` // of each request
	Faults   faults        `json:"faults"`

	// Fill stores each row before the first request, as in a service that has run for long: a library
	// with stale values has one of each.
	Fill bool `json:"fill"`
}

// A usage is what a server has used since it started. The server writes one when it is ready, and
// then one for each further line that it reads. To measure the heap it collects garbage first.
type usage struct {
	Address  string        `json:"address"`
	Requests uint64        `json:"requests"` // those that have ended
	Loads    uint64        `json:"loads"`
	CPU      time.Duration `json:"cpu_ns"`     // 0 where it is not known
	Heap     uint64        `json:"heap_bytes"` // without garbage
	RSS      uint64        `json:"rss_bytes"`  // the peak; 0 where it is not known
}

// measure notes what this process has used. After the processor time has been read, it collects
// garbage.
func (u *usage) measure() {
	u.measureProcess()
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	u.Heap = live[0].Value.Uint64()
}

// A service answers GET /rows/{id} with a row in JSON.
type service struct {
	fetch    func(ctx context.Context, id uint64) (*row, error)
	timeout  time.Duration
	requests atomic.Uint64
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rows/{id}", s.show)
	return mux
}

func (s *service) show(w http.ResponseWriter, r *http.Request) {
	defer s.requests.Add(1)
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		http.Error(w, "an id is a number", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
	defer cancel()
	found, err := s.fetch(ctx, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		http.Error(w, "no such row", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	text, err := json.Marshal(found)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the client may have gone
}

// serve is a server's process: it reads a job, and serves until its input ends.
func serve(in io.Reader, out io.Writer) (err error) {
	lines := json.NewDecoder(in)
	var j job
	if err := lines.Decode(&j); err != nil {
		return fmt.Errorf("a job: %w", err)
	}
	l, ok := findLibrary(j.Library)
	if !ok {
		return fmt.Errorf("no such library: %q", j.Library)
	}
	ctx := context.Background()
	o, err := openOrigin(ctx, j.Database, j.Faults)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	c, err := l.open(setup{Capacity: 2 * rows, TTL: j.TTL, Load: o.load})
	if err != nil {
		return err
	}
	defer c.Close()
	if j.Fill {
		if err := o.all(ctx, func(r *row) { c.Set(r.ID, r) }); err != nil {
			return err
		}
	}
	s := &service{fetch: c.Fetch, timeout: j.Timeout}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() { // until Close
		defer close(ended)
		_ = server.Serve(listener)
	}()
	defer func() {
		_ = server.Close()
		<-ended
	}()
	for replies := json.NewEncoder(out); ; {
		u := usage{Address: listener.Addr().String(), Requests: s.requests.Load(), Loads: o.loads.Load()}
		u.measure()
		if err := replies.Encode(u); err != nil {
			return err
		}
		var next json.RawMessage
		if err := lines.Decode(&next); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}
