package faults

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/verdict"
)

// The key, and the values of loads, which identify the source of a caller's value.
const (
	key    = "k"
	loaded = "the load's value"
	fresh  = "loaded anew"
	old    = "the stale value"
	newer  = "the value that was set"
)

var (
	errInjected = errors.New("injected error")
	errGone     = errors.New("the first caller left")
)

// A fault is a way for a load to go wrong, or an event during the load.
type fault struct {
	name string
	what string // a description

	// load is the rest of the load, once all callers wait. It calls t.strike at the time from which
	// the callers' times count. A stream has none.
	load func(ctx context.Context, t *trial) (string, error)
	// meanwhile runs outside the load, once all callers wait and before the load goes on.
	meanwhile func(t *trial)

	// The expected results with the fix on.
	want      func(callers int) map[verdict.Kind]int // the number of callers for each outcome
	wantNext  string                                 // the value of the next caller
	wantLoads int                                    // with the next caller's, if it needs one

	fails bool // callers get a stale value instead, if there is one

	waits       bool // callers get their outcome at the flight's time-out, not at once
	firstLeaves bool // the first caller leaves
	stream      bool // callers keep coming; the courier has its default options
}

// soft reports whether callers that can have a stale value get it after the soft time-out.
func (f *fault) soft() bool { return f.waits || f.stream }

// all expects the same outcome for every caller.
func all(kind verdict.Kind) func(callers int) map[verdict.Kind]int {
	return func(callers int) map[verdict.Kind]int { return map[verdict.Kind]int{kind: callers} }
}

// firstLeaves expects that the first caller has left, and that the others have the value.
func firstLeaves(callers int) map[verdict.Kind]int {
	return map[verdict.Kind]int{verdict.Canceled: 1, verdict.Value: callers - 1}
}

func returns(_ context.Context, t *trial) (string, error) {
	t.strike()
	return loaded, nil
}

var faults = []fault{
	{
		name: "none", what: "the load returns a value",
		load: returns, want: all(verdict.Value), wantNext: loaded, wantLoads: 1,
	},
	{
		name: "error", what: "the load returns an error",
		load: func(_ context.Context, t *trial) (string, error) {
			t.strike()
			return "", errInjected
		},
		want: all(verdict.Failed), wantNext: fresh, wantLoads: 2, fails: true,
	},
	{
		name: "panic", what: "the load panics",
		load: func(_ context.Context, t *trial) (string, error) {
			t.strike()
			panic(errInjected)
		},
		want: all(verdict.Panic), wantNext: fresh, wantLoads: 2, fails: true,
	},
	{
		name: "goexit", what: "the load calls runtime.Goexit",
		load: func(_ context.Context, t *trial) (string, error) {
			t.strike()
			runtime.Goexit()
			return "", nil
		},
		want: all(verdict.Goexit), wantNext: fresh, wantLoads: 2, fails: true,
	},
	{
		name: "hang", what: "the load never returns, whatever becomes of its context",
		load: func(_ context.Context, t *trial) (string, error) {
			t.strike()
			<-t.release
			return "", errInjected
		},
		want: all(verdict.TimedOut), wantNext: fresh, wantLoads: 2, fails: true, waits: true,
	},
	{
		name: "hang, callers keep coming",
		what: "the first load never returns, later ones work; callers come in waves, with the " +
			"courier's options as they come",
		want: wantOfStream, wantNext: fresh, wantLoads: 2, fails: true, stream: true,
	},
	{
		name: "child", what: "a linked goroutine panics while the load waits for it",
		load: func(ctx context.Context, t *trial) (string, error) {
			t.running.Add(1)
			courier.Go(ctx, func(context.Context) error {
				defer t.running.Done()
				t.strike()
				panic(errInjected)
			})
			<-t.release
			return "", errInjected
		},
		want: all(verdict.Panic), wantNext: fresh, wantLoads: 2, fails: true,
	},
	{
		name: "slow", what: "the load takes ten times the callers' deadline, but heeds its context",
		load: func(ctx context.Context, t *trial) (string, error) {
			t.strike()
			timer := time.NewTimer(10 * t.cfg.Timeout)
			defer timer.Stop()
			select {
			case <-timer.C:
				return loaded, nil
			case <-ctx.Done():
				return "", context.Cause(ctx)
			case <-t.release:
				return "", errInjected
			}
		},
		want: all(verdict.TimedOut), wantNext: fresh, wantLoads: 2, fails: true, waits: true,
	},
	{
		name: "first caller gone", what: "the caller that started the load leaves; the load heeds its " +
			"context",
		load: func(ctx context.Context, t *trial) (string, error) {
			select {
			case <-t.proceed:
			case <-ctx.Done(): // this would end the load for all callers
				return "", context.Cause(ctx)
			}
			t.strike()
			return loaded, nil
		},
		meanwhile: func(t *trial) { t.dismissFirst() },
		want:      firstLeaves, wantNext: loaded, wantLoads: 1, firstLeaves: true,
	},
	{
		name: "load in own load", what: "the load of a key fetches that key",
		load: func(ctx context.Context, t *trial) (string, error) {
			t.strike()
			return t.cache.Fetch(ctx, key, t.good)
		},
		want: all(verdict.Deadlock), wantNext: fresh, wantLoads: 2, fails: true,
	},
	{
		name: "delete meanwhile", what: "the key is deleted during the load: the value is given but " +
			"not stored",
		load: returns, meanwhile: func(t *trial) { t.cache.Delete(key) },
		want: all(verdict.Value), wantNext: fresh, wantLoads: 2,
	},
	{
		name: "set meanwhile", what: "the key is set during the load: the newer value stays",
		load: returns, meanwhile: func(t *trial) { t.cache.Set(key, newer) },
		want: all(verdict.Value), wantNext: newer, wantLoads: 1,
	},
}
