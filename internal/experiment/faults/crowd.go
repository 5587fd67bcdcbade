package faults

import (
	"context"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/verdict"
)

// An answer is the outcome of one caller's fetch.
type answer struct {
	kind  verdict.Kind
	since time.Time // the start of its time: the call, or a later time that the trial sets
	at    time.Time
}

// A crowd is a group of callers that fetch the key, each with its own deadline.
type crowd struct {
	trial     *trial
	fetch     func(context.Context, string) (string, error)
	deadlines []*deadline
	callers   sync.WaitGroup
}

// call adds a caller. When its fetch returns, call has written a and calls after.
func (c *crowd) call(ctx context.Context, a *answer, after func()) {
	own, release := newDeadline(ctx)
	c.deadlines = append(c.deadlines, own)
	c.callers.Go(func() {
		defer after()
		defer release()
		a.since = time.Now()
		_, a.kind = c.trial.get(own, c.fetch)
		a.at = time.Now()
	})
}

// wait blocks until all callers have their answers. It ends the waiting of the others after
// Params.Timeout, or at once if the callers did not come together.
func (c *crowd) wait(together bool) {
	answered := make(chan struct{})
	go func() {
		c.callers.Wait()
		close(answered)
	}()
	if !together || spend(c.trial.cfg.Timeout, answered) {
		for _, own := range c.deadlines {
			c.trial.expire(own)
		}
	}
	<-answered
}
