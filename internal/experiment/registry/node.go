package registry

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// A node is one member of the cluster under test, in this process or in another. Its methods may
// be called at the same time.
type node interface {
	// do answers a request.
	do(context.Context, request) (response, error)
	// kill ends the node without notice to the others.
	kill() error
	// close ends the node when the run is over.
	close() error
}

// open starts a node, in a process of its own if there is a command line for it, and returns its
// address.
func open(ctx context.Context, command []string, c nodeConfig) (node, string, error) {
	if command != nil {
		return openProcess(ctx, command, c)
	}
	n, err := openLocal(ctx, c)
	if err != nil {
		return nil, "", err
	}
	return n, n.reg.Addr(), nil
}

// A nodeConfig is what a node is started with.
type nodeConfig struct {
	Params     Params
	Partitions int // of those in Params
	Name       string
	Port       int // 0: any
	Seeds      []string
}

// A request is what a node is to do. As a line of JSON it goes to the standard input of a node's
// process; the first opens the node, and the end of the input ends the process.
type request struct {
	ID     uint64        `json:"id"`
	Op     string        `json:"op"`
	Config *nodeConfig   `json:"config,omitempty"`
	Name   string        `json:"name,omitempty"`
	Claim  claimID       `json:"claim,omitempty"`
	Addrs  []string      `json:"addrs,omitempty"` // host:port
	Skew   time.Duration `json:"skew,omitempty"`
	Limit  time.Duration `json:"limit,omitempty"` // how long it may take
}

// The operations.
const (
	opOpen     = "open"
	opRegister = "register" // claims Name, with Claim as its metadata; answers State and Time
	opRelease  = "release"  // releases Claim
	opCut      = "cut"      // sends nothing to Addrs, and to all others again
	opSkew     = "skew"     // makes the wall clock Skew ahead, or behind if it is negative
	opObserve  = "observe"  // answers with what has happened since it was last asked
	opView     = "view"     // answers with all that the node shows
)

// A response answers the request of the same ID. Responses come in any order.
type response struct {
	ID          uint64             `json:"id"`
	Error       string             `json:"error,omitempty"`
	Addr        string             `json:"addr,omitempty"`
	State       claimState         `json:"state,omitempty"` // alive, refused or overloaded
	Time        registry.Timestamp `json:"time,omitzero"`
	Observation observation        `json:"observation,omitzero"`
	View        map[string]claimID `json:"view,omitempty"`
}

// A claimID is the number of a registration in the ledger, from 1. 0 is nobody's.
type claimID uint64

func (id claimID) meta() []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// claimOf reads the number out of a claim's metadata; those of a stranger have none.
func claimOf(meta []byte) claimID {
	if len(meta) != 8 {
		return 0
	}
	return claimID(binary.BigEndian.Uint64(meta))
}

// An observation is what happened on a node since the last one, and its counters.
type observation struct {
	// Full says that Changes are the whole view, because it is the first one or events were missed.
	Full    bool      `json:"full,omitempty"`
	Missed  uint64    `json:"missed,omitempty"` // events, since the last observation
	Changes []change  `json:"changes,omitempty"`
	Lost    []loss    `json:"lost,omitempty"`
	Count   nodeCount `json:"count"`
}

// A change is a name that has another holder on the node.
type change struct {
	Name string  `json:"n"`
	ID   claimID `json:"i,omitempty"` // 0: nobody
	At   int64   `json:"t"`           // by the wall clock of the machine, in nanoseconds
}

// A loss is a registration that ended without having been released.
type loss struct {
	ID       claimID `json:"i"`
	Conflict bool    `json:"c,omitempty"`
}

// errNoClock says that a skewed clock would go unnoticed, and so would prove nothing.
var errNoClock = errors.New("the registry does not take the time from the clock that it was given")

// Serve is a node's process: it reads requests and writes responses until the input ends, and then
// closes the node. It fails if a line is no request, or if the node fails to close.
func Serve(in io.Reader, out io.Writer) (err error) {
	s := &server{out: json.NewEncoder(out)}
	defer func() {
		s.calls.Wait()
		if s.node != nil {
			err = errors.Join(err, s.node.close())
		}
	}()
	for lines := json.NewDecoder(in); ; {
		var r request
		switch err := lines.Decode(&r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("request: %w", err)
		}
		if err := s.take(r); err != nil {
			return err
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
		n, addr, err := open(context.Background(), nil, *r.Config)
		if err != nil {
			return s.answer(response{ID: r.ID, Error: err.Error()})
		}
		s.node = n
		return s.answer(response{ID: r.ID, Addr: addr})
	}
	s.calls.Go(func() {
		ctx := context.Background()
		if r.Limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, r.Limit)
			defer cancel()
		}
		a, err := s.node.do(ctx, r)
		if err != nil {
			a = response{Error: err.Error()}
		}
		a.ID = r.ID
		_ = s.answer(a) // if the parent is gone, the end of the input says so as well
	})
	return nil
}

func (s *server) answer(a response) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Encode(a)
}
