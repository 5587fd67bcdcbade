package errgroup_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/courier/errgroup"
)

var (
	errFirst  = errors.New("first")
	errSecond = errors.New("second")
)

// A death is a way in which a function dies.
type death struct {
	name  string
	die   func() error
	check func(*testing.T, error)
}

func deaths() []death {
	isPanic := func(value any) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			p, ok := err.(*courier.PanicError) //nolint:errorlint // it is that itself
			if assert.True(t, ok, "%v", err) {
				assert.Equal(t, value, p.Value)
				assert.Contains(t, string(p.Stack), "errgroup_test.deaths")
			}
		}
	}
	var none any
	return []death{
		{"panic", func() error { panic("boom") }, isPanic("boom")},
		{"panic of an error", func() error { panic(errFirst) }, isPanic(errFirst)},
		{"panic(nil)", func() error { panic(none) }, isPanic(&runtime.PanicNilError{})},
		{"Goexit", func() error { runtime.Goexit(); return nil }, func(t *testing.T, err error) {
			t.Helper()
			assert.Equal(t, courier.ErrGoexit, err)
		}},
	}
}

// A scene is what a test of a group gets.
type scene struct {
	*testing.T
	g      *errgroup.Group
	ctx    context.Context // of the group; nil: a zero Group
	flight bool            // the group is in a flight
}

// everywhere calls test in bubbles: with a zero group, with one that has a context, and with one in
// a flight.
func everywhere(t *testing.T, test func(s scene)) {
	t.Helper()
	t.Run("zero", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(scene{T: t, g: new(errgroup.Group)}) })
	})
	t.Run("with a context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g, ctx := errgroup.WithContext(t.Context())
			test(scene{T: t, g: g, ctx: ctx})
		})
	})
	t.Run("in a flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var c courier.Courier[string, int]
			_, _, _ = c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
				g, ctx := errgroup.WithContext(ctx)
				test(scene{T: t, g: g, ctx: ctx, flight: true})
				return 0, nil
			})
			// A death ends the flight while test goes on.
			assert.NoError(t, c.Shutdown(context.Background()))
			assert.EqualValues(t, 1, c.Stats().Started)
		})
	})
}

// A function that dies ends Wait at once, although others hang, and cancels the context with its
// error as the cause.
func TestDeathEndsTheGroup(t *testing.T) {
	for _, d := range deaths() {
		t.Run(d.name, func(t *testing.T) {
			everywhere(t, func(s scene) {
				release := make(chan struct{})
				defer close(release)
				for range 3 {
					s.g.Go(func() error { <-release; return nil })
				}
				s.g.Go(func() error { time.Sleep(time.Second); return d.die() })
				s.g.Go(func() error { time.Sleep(2 * time.Second); panic("later") })

				began := time.Now()
				errs := make([]error, 5)
				var waits sync.WaitGroup
				for i := range errs {
					waits.Go(func() { errs[i] = s.g.Wait() })
				}
				waits.Wait()
				assert.Equal(s, time.Second, time.Since(began))
				for _, err := range errs {
					d.check(s.T, err)
				}
				if s.ctx != nil {
					assert.ErrorIs(s, s.ctx.Err(), context.Canceled)
				}
				if s.ctx != nil && !s.flight { // else the end of the flight may come first
					d.check(s.T, context.Cause(s.ctx))
				}
				time.Sleep(2 * time.Second)
				d.check(s.T, s.g.Wait())
			})
		})
	}
}

// A death ends the context even if nobody waits.
func TestDeathCancels(t *testing.T) {
	for _, d := range deaths() {
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(d.die)
		<-ctx.Done()
		d.check(t, context.Cause(ctx))
		d.check(t, g.Wait())
	}
}

// A death counts more than an error that was returned before, since Wait may return while functions
// run. The error remains the cause of the context.
func TestDeathAfterAnError(t *testing.T) {
	everywhere(t, func(s scene) {
		release := make(chan struct{})
		defer close(release)
		s.g.Go(func() error { return errFirst })
		s.g.Go(func() error { time.Sleep(time.Second); panic("boom") })
		s.g.Go(func() error { <-release; return nil })
		var p *courier.PanicError
		assert.ErrorAs(s, s.g.Wait(), &p)
		if s.ctx != nil {
			assert.Equal(s, errFirst, context.Cause(s.ctx))
		}
	})
}

// The first error that is returned cancels the context, and Wait returns it when all functions have
// returned.
func TestErrors(t *testing.T) {
	everywhere(t, func(s scene) {
		began := time.Now()
		var ended atomic.Int32
		s.g.Go(func() error { time.Sleep(time.Second); return errFirst })
		s.g.Go(func() error { time.Sleep(2 * time.Second); return errSecond })
		s.g.Go(func() error { time.Sleep(time.Minute); ended.Add(1); return nil })
		time.Sleep(time.Second)
		synctest.Wait()
		if s.ctx != nil {
			assert.Equal(s, errFirst, context.Cause(s.ctx))
		}
		assert.Equal(s, errFirst, s.g.Wait())
		assert.Equal(s, time.Minute, time.Since(began))
		assert.EqualValues(s, 1, ended.Load())

		s.g.Go(func() error { ended.Add(1); return nil })
		assert.Equal(s, errFirst, s.g.Wait(), "again")
		assert.EqualValues(s, 2, ended.Load(), "an error does not keep Go from calling functions")
	})
}

// A function that returns what another courier returned for a panic has not died.
func TestReturnedDeath(t *testing.T) {
	everywhere(t, func(s scene) {
		for _, err := range []error{&courier.PanicError{Value: 7}, courier.ErrGoexit} {
			ended := false
			g, _ := errgroup.WithContext(s.Context())
			g.Go(func() error { return err })
			g.Go(func() error { time.Sleep(time.Minute); ended = true; return nil })
			assert.Equal(s, err, g.Wait())
			assert.True(s, ended)
		}
	})
}

// Callers that wait for the limit go on when a function dies, although others hang, and a function
// that dies leaves room for others.
func TestLimitAndDeath(t *testing.T) {
	for _, d := range deaths() {
		t.Run(d.name, func(t *testing.T) {
			everywhere(t, func(s scene) {
				s.g.SetLimit(2)
				release, fault := make(chan struct{}), make(chan struct{})
				hang := func() error { <-release; return errFirst }
				never := func() error { s.Error("a function was called after the death"); return nil }
				s.g.Go(hang)
				s.g.Go(func() error { <-fault; return d.die() })
				var blocked sync.WaitGroup
				for range 5 {
					blocked.Go(func() { s.g.Go(hang) })
				}
				synctest.Wait()
				assert.False(s, s.g.TryGo(never))
				close(fault)
				blocked.Wait()
				d.check(s.T, s.g.Wait())
				s.g.Go(never)
				assert.False(s, s.g.TryGo(never))

				close(release)
				synctest.Wait()
				s.g.Go(never)
				assert.False(s, s.g.TryGo(never))
				assert.NotPanics(s, func() { s.g.SetLimit(0) }, "a function that has ended has a place")
				s.g.Go(never) // returns, although there is no room
				d.check(s.T, s.g.Wait())
			})
		})
	}
}

func TestLimit(t *testing.T) {
	everywhere(t, func(s scene) {
		s.g.SetLimit(3)
		var running, peak, calls int32
		var mu sync.Mutex
		began := time.Now()
		for range 9 {
			s.g.Go(func() error {
				mu.Lock()
				running++
				peak = max(peak, running)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				running--
				calls++
				mu.Unlock()
				return nil
			})
		}
		assert.False(s, s.g.TryGo(nil))
		assert.PanicsWithError(s, "errgroup: SetLimit(4) while 3 functions run",
			func() { s.g.SetLimit(4) })
		assert.NoError(s, s.g.Wait())
		assert.Equal(s, 3*time.Second, time.Since(began))
		assert.Equal(s, []int32{0, 3, 9}, []int32{running, peak, calls})

		s.g.SetLimit(0)
		assert.False(s, s.g.TryGo(nil))
		s.g.SetLimit(-1)
		assert.True(s, s.g.TryGo(func() error { time.Sleep(time.Second); return errFirst }))
		assert.PanicsWithError(s, "errgroup: SetLimit(2) while 1 functions run",
			func() { s.g.SetLimit(2) }, "a function that has no place")
		assert.Equal(s, errFirst, s.g.Wait())
	})
}

// A group can be used again after Wait, although a function of before may still be about to notify
// Wait of its end.
func TestGroupIsUsedAgain(t *testing.T) {
	var g errgroup.Group
	for range 5000 {
		g.Go(func() error { return nil })
		assert.NoError(t, g.Wait())
		ended := false
		g.Go(func() error { runtime.Gosched(); ended = true; return nil })
		assert.NoError(t, g.Wait())
		if !assert.True(t, ended, "Wait has returned before a function has") {
			return
		}
	}
}

// Wait cancels the context even without an error.
func TestWaitCancels(t *testing.T) {
	g, ctx := errgroup.WithContext(t.Context())
	assert.NoError(t, ctx.Err())
	assert.NoError(t, g.Wait())
	assert.Equal(t, context.Canceled, context.Cause(ctx))
}
