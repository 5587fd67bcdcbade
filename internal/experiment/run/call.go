package run

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A call is the context of one read. Err, Done and Deadline are called by the reading goroutine
// alone, and only if the read is no hit; Value is called by the load's goroutine too, even long
// after. So a call is never used again once one of its methods was called.
type call struct {
	run      *run
	deadline context.Context // nil until it is needed
	cancel   context.CancelFunc
	asked    time.Duration // when it was made
	ran      atomic.Bool   // the fetch function ran for this call

	mu      sync.Mutex // guards what follows
	missing []uint64   // of a batch: the keys that the fetch function was called for
}

type callKey struct{}

// missed reports whether the cache had to look further than its entries.
func (c *call) missed() bool { return c.deadline != nil }

func (c *call) ask() context.Context {
	if c.deadline == nil {
		c.asked = c.run.Now()
		c.deadline, c.cancel = context.WithTimeout(c.run.ctx, c.run.params.Timeout)
	}
	return c.deadline
}

func (c *call) Deadline() (time.Time, bool) { return c.ask().Deadline() }
func (c *call) Done() <-chan struct{}       { return c.ask().Done() }
func (c *call) Err() error                  { return c.ask().Err() }

func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return nil
}

// load loads a key for the cache, and notes that it ran for its call.
func (r *run) load(ctx context.Context, key uint64) ([]byte, error) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.ran.Store(true)
	}
	return r.origin.Load(ctx, key)
}
