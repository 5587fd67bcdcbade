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
	"github.com/snowfence/snowfence/internal/measured"
)

// A trial is one fault in one setting.
type trial struct {
	cfg     Params
	fault   *fault
	setting setting
	cache   *cache.Cache[string, string]

	proceed chan struct{}  // closed when all callers wait, and the load may go on
	release chan struct{}  // closed at the end, for loads that hang
	running sync.WaitGroup // loads and their children
	loads   atomic.Int64
	struck  atomic.Pointer[time.Time] // when the fault struck

	answered atomic.Int64 // callers of a stream that have their answers
	left     atomic.Int64 // callers of a burst that have their answers

	first       context.CancelCauseFunc // ends the first caller's context
	firstKnows  chan struct{}           // closed when it has its answer
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
	if !t.fault.firstLeaves { // otherwise the load must react to its context while it waits
		<-t.proceed
	}
	return t.fault.load(ctx, t)
}

// good is the fetch function of the next caller, and of the callers of a stream.
func (t *trial) good(context.Context, string) (string, error) {
	t.loads.Add(1)
	return fresh, nil
}

// errSetup means that the machine was too busy for all callers to come together. It is no result
// about the cache.
var errSetup = errors.New("the callers did not come together; give fewer --callers or a longer " +
	"--fetch-timeout and --timeout")

func runTrial(ctx context.Context, cfg Params, f *fault, s setting) (_ *Cell, err error) {
	cell := &Cell{Fault: f.name, FixOn: s != fixOff}
	options := cache.Options[string, string]{}
	switch {
	case s == fixOff:
		options.Courier = append(options.Courier, courier.WithUnlinked()) // it ignores time-outs
	case f.stream: // the default options
	default:
		// Only a flight that should end by its time-out has one; otherwise it would race with the
		// fault.
		if f.waits && s == fixOn {
			cell.FetchTimeout = measured.Of(cfg.FetchTimeout)
		}
		options.Courier = append(options.Courier, courier.WithTimeout(cell.FetchTimeout.Duration()))
	}
	if s == staleValue {
		if f.soft() {
			cell.SoftTimeout = measured.Of(cfg.SoftTimeout)
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

	if s == staleValue {
		t.makeStale()
	}
	answers := make([]answer, cfg.Callers)
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
	if s == staleValue {
		cell.FreshAfter = t.freshAgain(ctx)
	}
	cell.Loads = int(t.loads.Load())
	return cell, ctx.Err()
}

// burst starts all callers before the fault strikes. It reports whether they came together.
func (t *trial) burst(ctx context.Context, answers []answer, proceed func()) bool {
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

// waiting waits until n callers wait for the load or have their answers. It reports false if the
// flight's time-out passed, or a caller of a burst left with a stale value, before that.
func (t *trial) waiting(ctx context.Context, n int) bool {
	// The number of looks is bounded, not the time: the callers can run before each, however busy
	// the machine.
	const look, looks = 50 * time.Microsecond, 200_000
	for range looks {
		answered := int(t.answered.Load()) // read first, or a caller could be counted twice
		stats := t.cache.Stats().Courier
		switch {
		case answered+stats.Waiting == n:
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

// next fetches the key once more, with a fetch function that works.
func (t *trial) next(ctx context.Context) (n Next) {
	t.within(ctx, t.cfg.Timeout, func(own context.Context) {
		began := time.Now()
		n.Value, n.Kind = t.get(own, t.good)
		n.Took = measured.Of(time.Since(began))
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
			t.expire(own)
		}
	})
	f(own)
	close(done)
	passing.Wait()
}

// expire ends a caller's context. A caller that can have a stale value would also get it at a
// deadline, which could not be distinguished from one in time. So it is cancelled.
func (t *trial) expire(own *deadline) {
	if t.setting == staleValue {
		own.cancel()
		return
	}
	own.pass()
}
