package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// A trial is one fault in one setting.
type trial struct {
	cfg     Params
	fault   *fault
	setting setting
	cache   *cache.Cache[string, string]

	proceed chan struct{}  // closed when all callers wait, and the load may go on
	release chan struct{}  // closed in the end, for loads that hang
	running sync.WaitGroup // loads and their children
	loads   atomic.Int64
	struck  atomic.Pointer[time.Time] // when the fault struck

	answered atomic.Int64 // callers of a stream who have their answers
	left     atomic.Int64 // callers of a burst who have

	first       context.CancelCauseFunc // ends the first caller's context
	firstKnows  chan struct{}           // closed when it was told
	firstLeaves time.Time
}

func (t *trial) strike() {
	now := time.Now()
	t.struck.CompareAndSwap(nil, &now)
}

// load is the fetch function of the callers of a burst.
func (t *trial) load(ctx context.Context, _ string) (string, error) {
	t.running.Add(1)
	defer t.running.Done()
	t.loads.Add(1)
	if !t.fault.firstLeaves { // that one must see its context while it waits
		<-t.proceed
	}
	return t.fault.load(ctx, t)
}

// good is the fetch function of the next caller, and of a stream's.
func (t *trial) good(context.Context, string) (string, error) {
	t.loads.Add(1)
	return fresh, nil
}

// errSetup means that the trial could not be set up, and says nothing about the
// cache: the machine was too busy to bring all callers together.
var errSetup = errors.New("the callers did not come together; give fewer --callers or a longer " +
	"--fetch-timeout and --timeout")

func runTrial(ctx context.Context, cfg Params, f *fault, s setting) (_ *Cell, err error) {
	cell := &Cell{Fault: f.name, FixOn: s != fixOff}
	options := cache.Options[string, string]{}
	switch {
	case s == fixOff:
		options.Courier = append(options.Courier, courier.WithUnlinked()) // which keeps no time-outs
	case f.stream: // the options as they come
	default:
		// No fault is to end by a time-out that would only race with it.
		if f.waits && s == fixOn {
			cell.FetchTimeout = seconds(cfg.FetchTimeout)
		}
		options.Courier = append(options.Courier, courier.WithTimeout(cell.FetchTimeout.Duration()))
	}
	if s == staleThere {
		if f.soft() {
			cell.SoftTimeout = seconds(cfg.SoftTimeout)
		}
		withStale(&options, cfg, cell.SoftTimeout.Duration())
	}
	c, err := cache.New(options)
	if err != nil {
		return nil, err
	}
	t := &trial{
		cfg: cfg, fault: f, setting: s, cache: c,
		proceed: make(chan struct{}), release: make(chan struct{}), firstKnows: make(chan struct{}),
	}
	proceed := sync.OnceFunc(func() { close(t.proceed) })
	defer func() {
		proceed()
		close(t.release)
		err = errors.Join(err, c.Close())
		t.running.Wait()
	}()

	if s == staleThere {
		t.makeStale()
	}
	answers := make([]told, cfg.Callers)
	var together bool
	if f.stream {
		together = t.stream(ctx, answers)
	} else {
		together = t.burst(ctx, answers, proceed)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !together {
		return nil, fmt.Errorf("fault %s: %w", f.name, errSetup)
	}
	cell.callers(answers)
	cell.Next = t.next(ctx)
	if s == staleThere {
		cell.FreshAfter = t.freshAgain(ctx)
	}
	cell.Loads = int(t.loads.Load())
	return cell, ctx.Err()
}

// burst lets all callers come before the fault strikes. It reports whether they came together.
func (t *trial) burst(ctx context.Context, answers []told, proceed func()) bool {
	all := crowd{trial: t, fetch: t.load}
	first, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	t.first = leave
	all.call(first, &answers[0], func() {
		t.left.Add(1)
		close(t.firstKnows)
	})
	together := t.waiting(ctx, 1)
	for i := 1; i < len(answers); i++ {
		all.call(ctx, &answers[i], func() { t.left.Add(1) })
	}
	together = together && t.waiting(ctx, len(answers))
	if together && t.fault.meanwhile != nil {
		t.fault.meanwhile(t)
	}
	proceed()
	all.wait(together)
	struck := t.struck.Load()
	if struck == nil {
		return false
	}
	for i := range answers {
		answers[i].since = *struck
	}
	if t.fault.firstLeaves {
		answers[0].since = t.firstLeaves
	}
	return together
}

// waiting waits until that many callers of all wait for the load or were told, and reports whether
// they came together: before the flight's time was up, if it has a time-out, or the first of a
// burst had left with a stale value.
func (t *trial) waiting(ctx context.Context, n int) bool {
	// Looks and not a time: each is after a pause in which the callers get to run.
	const look, looks = 50 * time.Microsecond, 200_000
	for range looks {
		told := int(t.answered.Load()) // first, or a caller could be counted twice
		stats := t.cache.Stats().Courier
		switch {
		case told+stats.Waiting == n:
			return true
		case ctx.Err() != nil || stats.Abandoned > 0 || t.left.Load() > 0:
			return false
		}
		time.Sleep(look)
	}
	return false
}

// dismissFirst ends the first caller's context and waits until it has left.
func (t *trial) dismissFirst() {
	t.firstLeaves = time.Now()
	t.first(errGone)
	<-t.firstKnows
}

// next is one more caller, whose fetch function works.
func (t *trial) next(ctx context.Context) (n Next) {
	t.within(ctx, t.cfg.Timeout, func(own context.Context) {
		began := time.Now()
		n.Value, n.Kind = t.get(own, t.good)
		n.Took = seconds(time.Since(began))
	})
	return n
}

// within calls f with a context that ends when this process has had time d to run.
func (t *trial) within(ctx context.Context, d time.Duration, f func(own context.Context)) {
	own, release := newDeadline(ctx)
	defer release()
	done := make(chan struct{})
	var passing sync.WaitGroup
	passing.Go(func() {
		if spend(d, done) {
			t.timeIsUp(own)
		}
	})
	f(own)
	close(done)
	passing.Wait()
}

// timeIsUp ends a caller's context. Who can have a stale value would get it at a deadline, too,
// so that it could not be told from one that came before.
func (t *trial) timeIsUp(own *deadline) {
	if t.setting == staleThere {
		own.cancel()
		return
	}
	own.pass()
}
