package courier

import (
	"context"
	"fmt"
	"sync"
)

// Shutdown ends every flight with ErrClosed, cancelling the functions'
// contexts, and refuses new calls with ErrClosed. It then blocks until all
// functions and children have returned or ctx ends; in that case it returns a
// *[ShutdownError] with the number of flights that still run. It may be called again, to
// wait again. Called by a fetch function, it waits for that function too, and so until
// ctx ends.
func (c *Courier[K, V]) Shutdown(ctx context.Context) error {
	if c.table.Load() == nil {
		c.makeTable() // to be closed
	}
	// All shards are closed before a flight ends: its turn must not go to a flight of another
	// shard.
	for s := range c.shards {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
	var ended []*flight[K, V]
	for s := range c.shards {
		s.mu.Lock()
		first := len(ended)
		for f := range s.flights.all {
			ended = append(ended, f)
		}
		for f := range s.detached {
			ended = append(ended, f)
		}
		for _, f := range ended[first:] {
			f.settle(*new(V), ErrClosed, EndClosed, now())
		}
		s.history.clear()
		s.track()
		s.mu.Unlock()
	}
	wakeAll(ended)
	for {
		fired := c.drained.next() // before busy, so that no firing is missed
		if c.busy() == 0 {
			return nil
		}
		select {
		case <-fired:
			continue
		case <-ctx.Done():
		}
		left := c.busy()
		if left == 0 {
			return nil
		}
		return &ShutdownError{Abandoned: left, Err: contextError(ctx)}
	}
}

// busy returns the number of flights with a goroutine still running.
func (c *Courier[K, V]) busy() (n int) {
	for s := range c.shards {
		s.mu.Lock()
		n += s.busy
		s.mu.Unlock()
	}
	return n
}

// A signal wakes goroutines each time it is fired.
type signal struct {
	mu sync.Mutex
	ch chan struct{} // nil: no goroutine waits
}

// next returns a channel that is closed when the signal is fired next.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// A ShutdownError is the error of a Shutdown whose context ended before the functions did.
type ShutdownError struct {
	Abandoned int   // flights whose functions or children still run
	Err       error // the context's error
}

// Error describes the ShutdownError in one line.
func (e *ShutdownError) Error() string {
	return fmt.Sprintf("courier: shutdown left %d functions running: %v", e.Abandoned, e.Err)
}

// Unwrap returns the context's error.
func (e *ShutdownError) Unwrap() error { return e.Err }
