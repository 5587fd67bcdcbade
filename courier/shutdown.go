package courier

import (
	"context"
	"fmt"
)

// Shutdown ends every flight with ErrClosed, cancelling the functions'
// contexts, and refuses new calls with ErrClosed. It then blocks until all
// functions and children have returned or ctx ends; in that case it returns a
// *[ShutdownError] that says how many did not. It may be called again, to wait
// again. Called by a fetch function, it waits for that function too, and so until
// ctx ends.
func (c *Courier[K, V]) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	var ended []*flight[K, V]
	for _, f := range c.flights {
		ended = append(ended, f)
	}
	for f := range c.loose {
		ended = append(ended, f)
	}
	for _, f := range ended {
		f.settle(*new(V), ErrClosed)
	}
	if c.failures != nil {
		c.failures.forgetAll()
		c.track()
	}
	idle := c.idle
	if idle == nil && c.busy > 0 {
		idle = make(chan struct{})
		c.idle = idle
	}
	c.mu.Unlock()
	for _, f := range ended {
		f.land()
	}
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	left := c.busy
	c.mu.Unlock()
	if left == 0 {
		return nil
	}
	return &ShutdownError{Abandoned: left, Err: contextError(ctx)}
}

// A ShutdownError says that Shutdown gave up waiting.
type ShutdownError struct {
	Abandoned int   // flights whose functions or children still run
	Err       error // why Shutdown did not wait longer: its context's error
}

// Error describes the ShutdownError in one line.
func (e *ShutdownError) Error() string {
	return fmt.Sprintf("courier: shutdown left %d functions running: %v", e.Abandoned, e.Err)
}

// Unwrap returns the context's error.
func (e *ShutdownError) Unwrap() error { return e.Err }
