package faultmatrix

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/verdict"
)

// A trial is one fault with the fix off or on.
type trial struct {
	cfg   Config
	fault *fault
	cache *cache.Cache[string, string]

	proceed chan struct{}  // closed when all callers wait, and the load may go on
	release chan struct{}  // closed in the end, for loads that hang
	running sync.WaitGroup // loads and their children
	loads   atomic.Int64
	struck  atomic.Pointer[time.Time] // when the fault struck

	first       context.CancelCauseFunc // ends the first caller's context
	firstKnows  chan struct{}           // closed when it was told
	firstLeaves time.Time
}

// told is what one caller was told.
type told struct {
	kind verdict.Kind
	at   time.Time
}

func (t *trial) strike() {
	now := time.Now()
	t.struck.CompareAndSwap(nil, &now)
}

// load is the fetch function of the callers.
func (t *trial) load(ctx context.Context, _ string) (string, error) {
	t.running.Add(1)
	defer t.running.Done()
	t.loads.Add(1)
	if !t.fault.leaves { // that one must see its context while it waits
		<-t.proceed
	}
	return t.fault.load(ctx, t)
}

// good is the fetch function of the next caller.
func (t *trial) good(context.Context, string) (string, error) {
	t.loads.Add(1)
	return fresh, nil
}

// errSetup means that the trial could not be set up, and says nothing about the
// cache: the machine was too busy to bring all callers together.
var errSetup = errors.New("the callers did not come together; give fewer --callers or a longer --fetch-timeout and --timeout")

func runTrial(ctx context.Context, cfg Config, f *fault, fixOn bool) (_ *Cell, err error) {
	cell := &Cell{Fault: f.name, FixOn: fixOn}
	if fixOn && f.waits {
		// No other fault is to end by a time-out, which would only race with it.
		cell.FetchTimeout = Seconds(cfg.FetchTimeout)
	}
	options := []courier.Option{courier.WithTimeout(cell.FetchTimeout.Duration())}
	if !fixOn {
		options = append(options, courier.WithUnlinked())
	}
	c, err := cache.New(cache.Options[string, string]{Courier: options})
	if err != nil {
		return nil, err
	}
	t := &trial{
		cfg: cfg, fault: f, cache: c,
		proceed: make(chan struct{}), release: make(chan struct{}), firstKnows: make(chan struct{}),
	}
	proceed := sync.OnceFunc(func() { close(t.proceed) })
	defer func() {
		proceed()
		close(t.release)
		err = errors.Join(err, c.Close())
		t.running.Wait()
	}()

	answers := make([]told, cfg.Callers)
	deadlines := make([]*deadline, cfg.Callers)
	var callers sync.WaitGroup
	call := func(ctx context.Context, i int, after func()) {
		own, release := newDeadline(ctx)
		deadlines[i] = own
		callers.Go(func() {
			defer after()
			defer release()
			_, err := c.Fetch(own, key, t.load)
			answers[i] = told{verdict.Of(err), time.Now()}
		})
	}
	first, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	t.first = leave
	call(first, 0, func() { close(t.firstKnows) })
	ready := t.waiting(ctx, 1)
	for i := 1; i < cfg.Callers; i++ {
		call(ctx, i, func() {})
	}
	ready = ready && t.waiting(ctx, cfg.Callers)
	if ready && f.meanwhile != nil {
		f.meanwhile(t)
	}
	proceed()
	allKnow := make(chan struct{})
	go func() {
		callers.Wait()
		close(allKnow)
	}()
	if !ready || spend(cfg.Timeout, allKnow) {
		for _, own := range deadlines {
			own.pass()
		}
	}
	<-allKnow
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if struck := t.struck.Load(); !ready || struck == nil {
		return nil, fmt.Errorf("fault %s: %w", f.name, errSetup)
	}
	cell.callers(t, answers)
	cell.Next = t.next(ctx)
	cell.Loads = int(t.loads.Load())
	return cell, ctx.Err()
}

// waiting waits until that many callers wait for the load, and reports whether
// they came together: before the flight's time was up, if it has a time-out.
func (t *trial) waiting(ctx context.Context, n int) bool {
	// Looks and not a time: each is after a pause in which the callers get to run.
	const look, looks = 50 * time.Microsecond, 200_000
	for range looks {
		stats := t.cache.Stats().Courier
		switch {
		case stats.Waiting == n:
			return true
		case ctx.Err() != nil || stats.Abandoned > 0:
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
func (t *trial) next(ctx context.Context) Next {
	own, release := newDeadline(ctx)
	defer release()
	done := make(chan struct{})
	var passing sync.WaitGroup
	passing.Go(func() {
		if spend(t.cfg.Timeout, done) {
			own.pass()
		}
	})
	began := time.Now()
	value, err := t.cache.Fetch(own, key, t.good)
	took := time.Since(began)
	close(done)
	passing.Wait()
	return Next{Kind: verdict.Of(err), Value: value, Took: Seconds(took)}
}
