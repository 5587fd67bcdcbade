// Package singleflight has the API of golang.org/x/sync/singleflight on the flights of a courier:
// change the import path, and a function that dies, hangs or takes too long no longer takes its
// callers along.
//
// What is the same: Do and DoChan run one call of fn per key at a time and give its results to
// all callers that ask meanwhile, and Forget makes the next Do call fn anew. By default a panic of
// fn is raised in each caller of Do, and Goexit ends each of them.
//
// What differs, since it is what this package is for:
//
//   - A call ends after courier.DefaultTimeout (30 s) with an error that matches
//     courier.ErrTimeout, even if fn never returns. New(courier.WithTimeout(d)) has another
//     time-out; d = 0 is none.
//   - runtime.Goexit in fn never leaves a caller without an answer: the channel of DoChan gets a
//     result with courier.ErrGoexit, where that of x/sync stays empty for ever.
//   - Functions that run on after their time-out are bounded, and past the bound callers are
//     refused with an error that matches courier.ErrOverloaded.
//   - With these errors, which fn has not returned, the value is nil. Callers that assert its type
//     before they look at the error would panic. Without a time-out Do and DoChan return only what
//     fn does, unless it calls Goexit or the group's courier is shut down.
//   - fn runs in a goroutine of its own, not in that of the first caller. What is raised in a
//     caller is an error whose text has the stack of fn, for a caller that does not recover; it
//     wraps a *courier.PanicError, which wraps what fn has panicked with.
//
// What is new: DoContext, for callers that have a deadline and functions that take a context, which
// gives up on a call that is late; and Group.PanicsAsErrors, for groups whose callers want errors.
package singleflight

import (
	"context"
	"runtime"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/courier/internal/async"
)

// A Group is a namespace of keys within which calls are shared. The zero value is ready to use,
// with the default options of a courier. All methods are safe for concurrent use. A Group must not
// be copied after first use.
type Group struct {
	// PanicsAsErrors returns panics and Goexit of fn as errors, a *courier.PanicError and
	// courier.ErrGoexit, instead of raising them in the callers. It must not be changed after first
	// use.
	PanicsAsErrors bool

	made *courier.Courier[string, any] // by New; nil: zero is used
	zero courier.Courier[string, any]
}

// New returns a Group whose courier has these options. It panics if one is out of range, as
// courier.New does.
func New(opts ...courier.Option) *Group { return &Group{made: courier.New[string, any](opts...)} }

// Courier returns the courier of the group, for its Stats and Shutdown.
func (g *Group) Courier() *courier.Courier[string, any] {
	if g.made != nil {
		return g.made
	}
	return &g.zero
}

// A Result holds the results of Do, as the channel of DoChan delivers them.
type Result struct {
	Val    any
	Err    error
	Shared bool
}

// Do calls fn and returns its results, unless a call for key is under way: then it waits for that
// one and returns its results. shared reports whether v was given to several callers. It blocks
// until the call ends; see the package's comment for how it can end besides.
//
//nolint:revive // the order of the results is that of x/sync
func (g *Group) Do(key string, fn func() (any, error)) (v any, err error, shared bool) {
	v, shared, err = g.Courier().Do(context.Background(), key, marked(fn))
	return v, g.outcome(err), shared
}

// DoContext is Do for a caller with a context. It blocks until the call or ctx ends; in the
// second case the error is that of ctx, and the call goes on for its other callers. If ctx has
// ended before, fn is not called.
//
// fn gets a context that has the values of the first caller's, and ends when the last caller has
// left or the call is over. A call that fn makes with that context is part of the call: one that
// would wait for itself gets courier.ErrDeadlock.
//
// A call that has let down a caller, whose deadline passed meanwhile, is late: the next caller of
// any method calls its own fn instead of joining it, beside the late one, which goes on for those
// who wait for it. A caller that is cancelled makes no call late.
//
//nolint:revive // the order of the results is that of Do
func (g *Group) DoContext(
	ctx context.Context, key string, fn func(context.Context) (any, error),
) (v any, err error, shared bool) {
	v, shared, err = g.Courier().Do(ctx, key, func(ctx context.Context) (any, error) {
		return mark(fn(ctx))
	})
	return v, g.outcome(err), shared
}

// A returned error is one that fn has returned although it looks as if fn had died: that of
// another courier's call, for example.
type returned struct{ error }

// mark returns the results of fn, with an error that can be told from fn's death.
func mark(v any, err error) (any, error) {
	if died(err) {
		err = returned{err}
	}
	return v, err
}

// marked returns a fetch function that calls fn.
func marked(fn func() (any, error)) func(context.Context) (any, error) {
	return func(context.Context) (any, error) { return mark(fn()) }
}

// died reports whether err is what a courier returns for a function that has panicked or called
// Goexit.
func died(err error) bool {
	_, panicked := err.(*courier.PanicError)    //nolint:errorlint // it is that itself
	return panicked || err == courier.ErrGoexit //nolint:errorlint // it is that itself
}

// outcome returns the error for a caller of Do or DoContext, or raises fn's death in its goroutine.
func (g *Group) outcome(err error) error {
	if g.raises(err) {
		raise(err)
	}
	return unmarked(err)
}

// raises reports whether err is fn's death, and to be raised.
func (g *Group) raises(err error) bool { return !g.PanicsAsErrors && died(err) }

// raise ends its goroutine as fn has ended.
func raise(err error) {
	if p, ok := err.(*courier.PanicError); ok { //nolint:errorlint // as died says
		panic(raised{p})
	}
	runtime.Goexit()
}

// unmarked reverses mark.
func unmarked(err error) error {
	if r, ok := err.(returned); ok { //nolint:errorlint // nothing wraps it
		return r.error
	}
	return err
}

// A raised error is the panic of fn in the goroutine of a caller. Its text has the stack of fn: the
// one that the runtime prints is the caller's.
type raised struct{ *courier.PanicError }

// Error returns the text of the PanicError and its stack.
func (r raised) Error() string { return r.PanicError.Error() + "\n\n" + string(r.Stack) }

// Unwrap returns the PanicError.
func (r raised) Unwrap() error { return r.PanicError }

// DoChan is Do, but returns a channel that gets the results when they are ready. The channel is
// not closed. It does not block: when it returns, the call has begun or was joined. By default a
// panic of fn ends the process, as in x/sync, since there is no caller to raise it in; see
// Group.PanicsAsErrors.
func (g *Group) DoChan(key string, fn func() (any, error)) <-chan Result {
	results := make(chan Result, 1)
	async.Start(g.Courier(), key, marked(fn), func(v any, shared bool, err error) {
		if g.raises(err) && err != courier.ErrGoexit { //nolint:errorlint // as died says
			go raise(err)
			return
		}
		results <- Result{v, unmarked(err), shared}
	})
	return results
}

// Forget makes the next Do for key call fn, even if a call is under way: that one goes on for
// those who wait for it.
func (g *Group) Forget(key string) { g.Courier().Forget(key) }
