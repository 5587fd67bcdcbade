package faults

import (
	"context"
	"sync"
	"time"
)

// A deadline is a context whose deadline passes when pass is called. That of a timer could pass
// while a busy machine keeps this process from running.
type deadline struct {
	context.Context // the parent

	once sync.Once
	done chan struct{}
	err  error // set before done is closed
}

// newDeadline returns a context that ends with its parent, or when its deadline passes. Release
// detaches it from the parent.
func newDeadline(parent context.Context) (d *deadline, release func() bool) {
	d = &deadline{Context: parent, done: make(chan struct{})}
	return d, context.AfterFunc(parent, func() { d.end(parent.Err()) })
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

func (d *deadline) pass() { d.end(context.DeadlineExceeded) }

func (d *deadline) cancel() { d.end(context.Canceled) }

func (d *deadline) end(err error) {
	d.once.Do(func() {
		d.err = err
		close(d.done)
	})
}

// spend waits until this process had d to run, and returns true, or until stop is closed. It waits
// in slices of d, so that time in which this process does not run counts as one slice at most.
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
