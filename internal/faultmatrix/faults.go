package faultmatrix

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/verdict"
)

// What loads return, so that it can be told who gave a caller its value.
const (
	key    = "k"
	loaded = "the load's value"
	fresh  = "loaded anew"
	newer  = "the value that was set"
)

var (
	errInjected = errors.New("injected error")
	errGone     = errors.New("the first caller left")
)

// A fault is one way in which a load goes wrong, or what happens meanwhile.
type fault struct {
	name string
	what string // in words

	// load is the rest of the load, once all callers wait. It calls t.strike
	// at the moment from which the callers' time counts.
	load func(ctx context.Context, t *trial) (string, error)
	// meanwhile happens outside the load, once all callers wait and before
	// the load goes on.
	meanwhile func(t *trial)

	// What the fix is to make of it.
	want      verdict.Kind // for every caller, other than a first one that left
	wantNext  string       // what the next caller is to get
	wantLoads int          // with the next caller's, if it needs one
	waits     bool         // callers know when the flight's time is up, not at once
	leaves    bool         // the first caller leaves
}

func returns(_ context.Context, t *trial) (string, error) {
	t.strike()
	return loaded, nil
}

var faults = []fault{
	{
		name: "none", what: "the load returns a value",
		load: returns, want: verdict.Value, wantNext: loaded, wantLoads: 1,
	},
	{
		name: "error", what: "the load returns an error",
		load: func(_ context.Context, t *trial) (string, error) {
			t.strike()
			return "", errInjected
		},
		want: verdict.Failed, wantNext: fresh, wantLoads: 2,
	},
	{
		name: "panic", what: "the load panics",
		load: func(_ context.Context, t *trial) (string, error) {
			t.strike()
			panic(errInjected)
		},
		want: verdict.Panic, wantNext: fresh, wantLoads: 2,
	},
	{
		name: "goexit", what: "the load calls runtime.Goexit",
		load: func(_ context.Context, t *trial) (string, error) {
			t.strike()
			runtime.Goexit()
			return "", nil
		},
		want: verdict.Goexit, wantNext: fresh, wantLoads: 2,
	},
	{
		name: "hang", what: "the load never returns, whatever becomes of its context",
		load: func(_ context.Context, t *trial) (string, error) {
			t.strike()
			<-t.release
			return "", errInjected
		},
		want: verdict.TimedOut, wantNext: fresh, wantLoads: 2, waits: true,
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
		want: verdict.Panic, wantNext: fresh, wantLoads: 2,
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
		want: verdict.TimedOut, wantNext: fresh, wantLoads: 2, waits: true,
	},
	{
		name: "first caller gone", what: "the caller that started the load leaves; the load heeds its context",
		load: func(ctx context.Context, t *trial) (string, error) {
			select {
			case <-t.proceed:
			case <-ctx.Done(): // it would be cancelled for everybody
				return "", context.Cause(ctx)
			}
			t.strike()
			return loaded, nil
		},
		meanwhile: func(t *trial) { t.dismissFirst() },
		want:      verdict.Value, wantNext: loaded, wantLoads: 1, leaves: true,
	},
	{
		name: "load in own load", what: "the load of a key fetches that key",
		load: func(ctx context.Context, t *trial) (string, error) {
			t.strike()
			return t.cache.Fetch(ctx, key, t.good)
		},
		want: verdict.Deadlock, wantNext: fresh, wantLoads: 2,
	},
	{
		name: "delete meanwhile", what: "the key is deleted during the load: the value is given but not stored",
		load: returns, meanwhile: func(t *trial) { t.cache.Delete(key) },
		want: verdict.Value, wantNext: fresh, wantLoads: 2,
	},
	{
		name: "set meanwhile", what: "the key is set during the load: the newer value stays",
		load: returns, meanwhile: func(t *trial) { t.cache.Set(key, newer) },
		want: verdict.Value, wantNext: newer, wantLoads: 1,
	},
}
