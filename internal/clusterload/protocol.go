package clusterload

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// A request is one line that the parent of a node's process writes to its standard input. The first
// opens the node. The end of the input ends the process.
type request struct {
	ID     uint64        `json:"id"`
	Op     string        `json:"op"`
	Config *nodeConfig   `json:"config,omitempty"`
	Name   string        `json:"name,omitempty"`
	Claim  claimID       `json:"claim,omitempty"`
	Addrs  []string      `json:"addrs,omitempty"`
	Skew   time.Duration `json:"skew,omitempty"`
	Limit  time.Duration `json:"limit,omitempty"` // how long it may take
}

// The operations.
const (
	opOpen     = "open"
	opRegister = "register"
	opRelease  = "release"
	opCut      = "cut"
	opSkew     = "skew"
	opObserve  = "observe"
	opView     = "view"
)

// A response is the line that answers a request; answers come in any order.
type response struct {
	ID          uint64              `json:"id"`
	Error       string              `json:"error,omitempty"`
	Addr        string              `json:"addr,omitempty"`
	Time        *registry.Timestamp `json:"time,omitempty"`
	Observation *observation        `json:"observation,omitempty"`
	View        map[string]claimID  `json:"view,omitempty"`
}

// Errors that have a meaning on both ends.
var knownErrors = []error{errTaken, errOverloaded, registry.ErrConflict, registry.ErrClosed}

func errorText(err error) string {
	for _, known := range knownErrors {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}

func errorOf(text string) error {
	for _, known := range knownErrors {
		if known.Error() == text {
			return known
		}
	}
	return errors.New(text)
}

// Serve is a node's process: it reads requests, a line of JSON each, and writes the answers, until
// the input ends. Then it closes the node. It fails if a line is no request, or on the node's
// failure to close.
func Serve(in io.Reader, out io.Writer) (err error) {
	s := &server{out: json.NewEncoder(out)}
	lines := bufio.NewReader(in)
	defer func() {
		s.calls.Wait()
		if s.node != nil {
			err = errors.Join(err, s.node.Close())
		}
	}()
	for {
		line, readErr := lines.ReadBytes('\n')
		if len(line) > 0 {
			var r request
			if err := json.Unmarshal(line, &r); err != nil {
				return fmt.Errorf("request: %w", err)
			}
			if err := s.take(r); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return nil
		case readErr != nil:
			return fmt.Errorf("request: %w", readErr)
		}
	}
}

type server struct {
	node  node // nil until it is open
	calls sync.WaitGroup

	mu  sync.Mutex // guards out
	out *json.Encoder
}

// take answers a request, in a goroutine of its own unless it is the first: registering may have to
// wait.
func (s *server) take(r request) error {
	if s.node == nil {
		if r.Op != opOpen || r.Config == nil {
			return fmt.Errorf("request %q: the node is not open; %q comes first", r.Op, opOpen)
		}
		n, err := openLocal(context.Background(), *r.Config)
		if err != nil {
			return s.answer(response{ID: r.ID, Error: err.Error()})
		}
		s.node = n
		return s.answer(response{ID: r.ID, Addr: n.Addr()})
	}
	s.calls.Go(func() {
		a := s.call(r)
		a.ID = r.ID
		// If the parent is gone, the end of the input says so as well.
		_ = s.answer(a)
	})
	return nil
}

func (s *server) call(r request) (a response) {
	ctx := context.Background()
	if r.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Limit)
		defer cancel()
	}
	var err error
	switch r.Op {
	case opRegister:
		var at registry.Timestamp
		at, err = s.node.Register(ctx, r.Name, r.Claim)
		a.Time = &at
	case opRelease:
		err = s.node.Release(ctx, r.Claim)
	case opCut:
		err = s.node.Cut(ctx, r.Addrs)
	case opSkew:
		err = s.node.Skew(ctx, r.Skew)
	case opObserve:
		var o observation
		o, err = s.node.Observe(ctx)
		a.Observation = &o
	case opView:
		a.View, err = s.node.View(ctx)
	default:
		err = fmt.Errorf("unknown operation %q", r.Op)
	}
	if err != nil {
		return response{Error: errorText(err)}
	}
	return a
}

func (s *server) answer(a response) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Encode(a)
}
