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
// cache: the machine was too busy to bring all callers together in time.
var errSetup = errors.New("the callers did not come together before the flight's time was up; give a longer --fetch-timeout and --timeout")

func runTrial(ctx context.Context, cfg Config, f *fault, fixOn bool) (_ *Cell, err error) {
	options := []courier.Option{courier.WithTimeout(cfg.FetchTimeout)}
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
	var callers sync.WaitGroup
	call := func(ctx context.Context, i int) {
		ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
		defer cancel()
		_, err := c.Fetch(ctx, key, t.load)
		answers[i] = told{verdict.Of(err), time.Now()}
	}
	first, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	t.first = leave
	callers.Go(func() {
		defer close(t.firstKnows)
		call(first, 0)
	})
	ready := t.waiting(1)
	for i := 1; i < cfg.Callers; i++ {
		callers.Go(func() { call(ctx, i) })
	}
	ready = ready && t.waiting(cfg.Callers)
	if ready && f.meanwhile != nil {
		f.meanwhile(t)
	}
	proceed()
	callers.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if struck := t.struck.Load(); !ready || struck == nil {
		return nil, fmt.Errorf("fault %s: %w", f.name, errSetup)
	}
	cell := &Cell{Fault: f.name, FixOn: fixOn}
	cell.callers(t, answers)
	cell.Next = t.next(ctx)
	cell.Loads = int(t.loads.Load())
	return cell, ctx.Err()
}

// waiting waits until that many callers wait for the load, and reports whether
// they came together in time.
func (t *trial) waiting(n int) bool {
	const look = 50 * time.Microsecond
	for began := time.Now(); time.Since(began) < t.cfg.FetchTimeout/2; time.Sleep(look) {
		if t.cache.Stats().Courier.Waiting == n {
			return true
		}
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
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	began := time.Now()
	value, err := t.cache.Fetch(ctx, key, t.good)
	return Next{Kind: verdict.Of(err), Value: value, Took: Seconds(time.Since(began))}
}
