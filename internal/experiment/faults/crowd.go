package faults

import (
	"context"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/verdict"
)

// told is what one caller was told.
type told struct {
	kind  verdict.Kind
	since time.Time // from when its time counts: its call, until the trial knows better
	at    time.Time
}

// A crowd is callers who fetch the key, each with a deadline of its own.
type crowd struct {
	trial     *trial
	fetch     func(context.Context, string) (string, error)
	deadlines []*deadline
	callers   sync.WaitGroup
}

// call adds a caller. When it was told, a is written and after called.
func (c *crowd) call(ctx context.Context, a *told, after func()) {
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

// wait blocks until all callers were told. The time of those who were not is up after
// Params.Timeout, or at once if they did not come together.
func (c *crowd) wait(together bool) {
	allKnow := make(chan struct{})
	go func() {
		c.callers.Wait()
		close(allKnow)
	}()
	if !together || spend(c.trial.cfg.Timeout, allKnow) {
		for _, own := range c.deadlines {
			c.trial.timeIsUp(own)
		}
	}
	<-allKnow
}
