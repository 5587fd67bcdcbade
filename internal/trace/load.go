package trace

import (
	"errors"
	"fmt"
	"io"
)

// A Trace is a whole trace in memory. The distinct keys are numbered from 0 in the order of their
// first request. A request is the number of its key, so a replay reads four bytes per request and
// compares no strings. A Trace is safe for concurrent use as long as its slices are not written to.
type Trace struct {
	Name   string
	Format Format
	Keys   []string // the distinct keys, by number
	IDs    []uint32 // the requests, in order
}

// Len returns the number of requests.
func (t *Trace) Len() int { return len(t.IDs) }

// Key returns the key of the request at index i.
func (t *Trace) Key(i int) string { return t.Keys[t.IDs[i]] }

// Load reads the whole trace in the file at path. A trace without requests is
// an error that wraps [ErrEmpty].
func Load(path string, o Options) (_ *Trace, err error) {
	r, err := Open(path, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.load()
}

// LoadFrom reads the whole trace from in, as Load does from a file. The name is for errors.
func LoadFrom(in io.Reader, name string, o Options) (*Trace, error) {
	r, err := NewReader(in, name, o)
	if err != nil {
		return nil, err
	}
	return r.load()
}

func (r *Reader) load() (*Trace, error) {
	t := &Trace{Name: r.name, Format: r.Format()}
	numbers := make(map[string]uint32)
	for {
		key, err := r.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		id, ok := numbers[string(key)]
		if !ok {
			// MaxRequests keeps this below 2^32.
			id = uint32(len(t.Keys))
			text := string(key)
			numbers[text] = id
			t.Keys = append(t.Keys, text)
		}
		t.IDs = append(t.IDs, id)
	}
	if len(t.IDs) == 0 {
		return nil, fmt.Errorf("trace: %s: %w", r.name, ErrEmpty)
	}
	return t, nil
}
