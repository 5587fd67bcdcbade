package errgroup_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/courier/errgroup"
)

// A death ends the flight before Wait returns, so callers get it whatever the fetch function makes
// of it.
func TestDeathEndsTheFlight(t *testing.T) {
	for _, d := range deaths() {
		t.Run(d.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c courier.Courier[string, int]
				release := make(chan struct{})
				waited := make(chan error, 1)
				_, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
					g, _ := errgroup.WithContext(ctx)
					g.Go(func() error { <-release; return nil })
					g.Go(d.die)
					waited <- g.Wait()
					return 7, nil // as if nothing had happened
				})
				d.check(t, err)
				d.check(t, <-waited)
				synctest.Wait()
				want := courier.Stats{Started: 1, Abandoned: 1, AbandonedTotal: 1, Panics: 1}
				if d.name == "Goexit" {
					want.Panics, want.Goexits = 0, 1
				}
				assert.Equal(t, want, c.Stats(), "the function that hangs is counted")
				close(release)
				synctest.Wait()
				want.Abandoned = 0
				assert.Equal(t, want, c.Stats())
			})
		})
	}
}

// The same, in a race of the flight's end with the fetch function, which returns as soon as Wait
// does.
func TestDeathAlwaysEndsTheFlight(t *testing.T) {
	var c courier.Courier[int, int]
	for key := range 1000 {
		_, _, err := c.Do(t.Context(), key, func(ctx context.Context) (int, error) {
			g, _ := errgroup.WithContext(ctx)
			g.Go(func() error { panic("boom") })
			_ = g.Wait()
			return 7, nil
		})
		var p *courier.PanicError
		if !assert.ErrorAs(t, err, &p) {
			return
		}
	}
	assert.NoError(t, c.Shutdown(t.Context()))
}

// A caller gets the death although the fetch function never comes to Wait.
func TestDeathWhileTheFetchFunctionIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		release := make(chan struct{})
		_, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
			g, _ := errgroup.WithContext(ctx)
			got := make(chan int)
			g.Go(func() error { runtime.Goexit(); got <- 7; return nil })
			select {
			case v := <-got: // which never comes
				return v, g.Wait()
			case <-release:
				return 0, nil
			}
		})
		assert.Equal(t, courier.ErrGoexit, err)
		close(release)
		assert.NoError(t, c.Shutdown(t.Context()))
	})
}

// An error goes to the fetch function alone, which decides what callers get.
func TestErrorInAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithIsFailure(func(error) bool {
			t.Error("an error of a function is no outcome of the flight")
			return true
		}))
		v, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
			g, groupCtx := errgroup.WithContext(ctx)
			g.Go(func() error { return errFirst })
			g.Go(func() error { <-groupCtx.Done(); return groupCtx.Err() })
			assert.Equal(t, errFirst, g.Wait())
			assert.NoError(t, ctx.Err())
			return 7, nil // without that part
		})
		assert.NoError(t, err)
		assert.Equal(t, 7, v)
	})
}

// When Wait has returned without a death, the flight counts none of the functions as running.
func TestWaitedFunctionsAreNotAbandoned(t *testing.T) {
	var c courier.Courier[int, int]
	for key := range 1000 {
		_, _, err := c.Do(t.Context(), key, func(ctx context.Context) (int, error) {
			g, _ := errgroup.WithContext(ctx)
			g.SetLimit(2)
			for range 3 {
				g.Go(func() error { return errFirst })
			}
			return 7, g.Wait()
		})
		assert.Equal(t, errFirst, err)
	}
	assert.Zero(t, c.Stats().AbandonedTotal)
	assert.NoError(t, c.Shutdown(t.Context()))
}

// A flight that ends while functions of a group run counts them, and Shutdown waits for them.
func TestFunctionsBelongToTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(time.Second))
		release := make(chan struct{})
		_, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
			g, groupCtx := errgroup.WithContext(ctx)
			assert.True(t, courier.InFlight(groupCtx))
			g.Go(func() error { <-release; return nil })
			<-groupCtx.Done() // with the flight
			return 0, nil
		})
		assert.ErrorIs(t, err, courier.ErrTimeout)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var left *courier.ShutdownError
		assert.ErrorAs(t, c.Shutdown(short), &left)
		assert.Equal(t, 1, c.Stats().Abandoned)
		close(release)
		assert.NoError(t, c.Shutdown(t.Context()))
		assert.Zero(t, c.Stats().Abandoned)
	})
}

// The functions of a zero group, and of one for a detached context, belong to no flight.
func TestGroupsApartFromTheFlight(t *testing.T) {
	var c courier.Courier[string, int]
	v, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
		detached, _ := errgroup.WithContext(courier.Detach(ctx))
		for _, g := range []*errgroup.Group{new(errgroup.Group), detached} {
			g.Go(func() error { panic("boom") })
			var p *courier.PanicError
			assert.ErrorAs(t, g.Wait(), &p)
			assert.NoError(t, ctx.Err())
		}
		return 7, nil
	})
	assert.NoError(t, err)
	assert.Equal(t, 7, v)
	assert.Zero(t, c.Stats().Panics)
}

// In a flight without the link a death ends the group alone.
func TestDeathInAnUnlinkedFlight(t *testing.T) {
	c := courier.New[string, int](courier.WithUnlinked())
	v, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
		g, groupCtx := errgroup.WithContext(ctx)
		g.Go(func() error { panic("boom") })
		var p *courier.PanicError
		assert.ErrorAs(t, g.Wait(), &p)
		assert.Equal(t, error(p), context.Cause(groupCtx))
		return 7, ctx.Err()
	})
	assert.NoError(t, err)
	assert.Equal(t, 7, v)
}
