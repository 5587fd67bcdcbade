package stalltest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A deadline is a context whose deadline passes when pass is called. That of a timer could pass
// before the callers of a busy machine have come together.
type deadline struct {
	context.Context

	passed atomic.Bool // set before done is closed
	once   sync.Once
	done   chan struct{}
	err    error // set before done is closed
}

func newDeadline() *deadline {
	return &deadline{Context: context.Background(), done: make(chan struct{})}
}

func (d *deadline) Done() <-chan struct{} { return d.done }

func (d *deadline) Err() error {
	select {
	case <-d.done:
		return d.err
	default:
		return nil
	}
}

func (d *deadline) end(err error) {
	d.once.Do(func() {
		d.err = err
		close(d.done)
	})
}

// pass lets the deadlines of the callers pass together: a caller that gets the error of another
// one's deadline has passed its own.
func pass(callers []*caller) {
	for _, c := range callers {
		c.own.passed.Store(true)
	}
	for _, c := range callers {
		c.own.end(context.DeadlineExceeded)
	}
}

// spend waits until this process had d to run, and returns true, or until stop is closed. It
// waits in slices of d, so that time in which this process does not run counts as one at most.
func spend(d time.Duration, stop <-chan struct{}) bool {
	const slices = 100
	ticker := time.NewTicker(max(1, d/slices)) // drops ticks while the process does not run
	defer ticker.Stop()
	for range slices {
		select {
		case <-ticker.C:
		case <-stop:
			return false
		}
	}
	return true
}
