package cache_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

const (
	// callerPatience is the deadline of each caller.
	callerPatience = 10 * time.Second
	// flightTimeout is the time-out of flights, where they have one.
	flightTimeout = 2 * time.Second
	// gathering is the time after which a faulty fetch function fails. All callers wait for it by
	// then.
	gathering = time.Millisecond
)

// A fault is a way for a fetch function to fail, with the results that its callers must get.
type fault struct {
	name    string
	fetch   func(ctx context.Context, release <-chan struct{}) (string, error)
	timeout time.Duration // the courier's; 0: none

	after time.Duration            // when each caller gets the error; 0: at once
	check func(error) error        // of each caller's error
	value string                   // where there is no error
	alone func(courier.Stats) bool // checks Stats afterwards

	// snowball: without the link each caller waits for its own deadline.
	snowball bool
}

func wants(target error) func(error) error {
	return func(err error) error {
		if !errors.Is(err, target) {
			return fmt.Errorf("got %w, want %w", err, target)
		}
		return nil
	}
}

func wantsPanic(err error) error {
	var p *courier.PanicError
	if !errors.As(err, &p) || p.Value != any("fault") {
		return fmt.Errorf("got %w, want a PanicError", err)
	}
	return nil
}

// faults are those of F1 in docs/architecture.md.
func faults() []fault {
	hang := func(_ context.Context, release <-chan struct{}) (string, error) {
		<-release // ignores its context
		return "late", nil
	}
	return []fault{
		{
			name:     "panic",
			fetch:    func(context.Context, <-chan struct{}) (string, error) { panic("fault") },
			check:    wantsPanic,
			alone:    func(s courier.Stats) bool { return s.Panics == 1 },
			snowball: true,
		},
		{
			name: "goexit",
			fetch: func(context.Context, <-chan struct{}) (string, error) {
				runtime.Goexit()
				return "", nil
			},
			check:    wants(courier.ErrGoexit),
			alone:    func(s courier.Stats) bool { return s.Goexits == 1 },
			snowball: true,
		},
		{
			name:  "error",
			fetch: func(context.Context, <-chan struct{}) (string, error) { return "", errLoad },
			check: wants(errLoad),
		},
		{
			name:     "hang with a flight time-out",
			fetch:    hang,
			timeout:  flightTimeout,
			after:    flightTimeout,
			check:    wants(courier.ErrTimeout),
			alone:    func(s courier.Stats) bool { return s.Timeouts == 1 && s.AbandonedTotal == 1 },
			snowball: true,
		},
		{
			name:  "hang without",
			fetch: hang,
			after: callerPatience,
			check: wants(context.DeadlineExceeded),
			alone: func(s courier.Stats) bool { return s.Deserted == 1 && s.AbandonedTotal == 1 },
			// The callers' own deadlines end their waits, linked or not. The key
			// differs afterwards.
			snowball: true,
		},
		{
			name: "child panics",
			fetch: func(ctx context.Context, release <-chan struct{}) (string, error) {
				courier.Go(ctx, func(context.Context) error { panic("fault") })
				return hang(ctx, release)
			},
			check:    wantsPanic,
			alone:    func(s courier.Stats) bool { return s.Panics == 1 && s.AbandonedTotal == 1 },
			snowball: true,
		},
		{
			name: "child exits",
			fetch: func(ctx context.Context, release <-chan struct{}) (string, error) {
				courier.Go(ctx, func(context.Context) error {
					runtime.Goexit()
					return nil
				})
				return hang(ctx, release)
			},
			check:    wants(courier.ErrGoexit),
			snowball: true,
		},
		{
			name: "child fails",
			fetch: func(ctx context.Context, release <-chan struct{}) (string, error) {
				courier.Go(ctx, func(context.Context) error { return errLoad })
				return hang(ctx, release)
			},
			check:    wants(errLoad),
			snowball: true,
		},
		{
			name: "slow",
			fetch: func(ctx context.Context, _ <-chan struct{}) (string, error) {
				select {
				case <-time.After(time.Second):
					return "slow", nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			},
			after: gathering + time.Second,
			value: "slow",
		},
		{
			name: "slow beyond the flight time-out",
			fetch: func(ctx context.Context, _ <-chan struct{}) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			},
			timeout: flightTimeout,
			after:   flightTimeout,
			check:   wants(courier.ErrTimeout),
			// It waits for a context that an unlinked flight never ends.
			snowball: true,
		},
	}
}

// An outcome is the result of a caller, and its time.
type outcome struct {
	value string
	err   error
	took  time.Duration
}

// storm makes many callers fetch one key with a fetch function that has the fault.
func storm(
	t *testing.T, c *cache.Cache[string, string], f fault, callers int, release <-chan struct{},
) (outcomes []outcome, loads int) {
	t.Helper()
	outcomes = make([]outcome, callers)
	var mu sync.Mutex // guards loads
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), callerPatience)
	defer cancel()
	start := make(chan struct{})
	for i := range callers {
		wg.Go(func() {
			<-start
			began := time.Now()
			v, err := c.Fetch(ctx, "faulty", func(ctx context.Context, _ string) (string, error) {
				mu.Lock()
				loads++
				mu.Unlock()
				time.Sleep(gathering)
				return f.fetch(ctx, release)
			})
			outcomes[i] = outcome{v, err, time.Since(began)}
		})
	}
	synctest.Wait()
	close(start)
	// Meanwhile, fetches of healthy keys return at once.
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 20 {
			began := time.Now()
			key := fmt.Sprintf("healthy %d", i)
			if v, err := c.Fetch(t.Context(), key, returns[string](key)); v != key || err != nil {
				t.Errorf("%s: %q, %v", key, v, err)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("%s took %v", key, took)
			}
			c.Set(key, "set")
			if v, ok := c.Get(key); v != "set" || !ok {
				t.Errorf("%s: %q, %v", key, v, ok)
			}
			time.Sleep(callerPatience / 10)
		}
	}()
	wg.Wait()
	<-done
	mu.Lock()
	defer mu.Unlock()
	return outcomes, loads
}

// Every caller gets the outcome of a fault at once, or exactly at its bound. Nothing is stored, and
// the key works afterwards. Each bubble fails if a goroutine remains.
func TestFaults(t *testing.T) {
	for _, f := range faults() {
		for _, callers := range []int{1, 2, 1000} {
			t.Run(fmt.Sprintf("%s/%d", f.name, callers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCache(t, cache.Options[string, string]{Courier: []courier.Option{courier.WithTimeout(
						f.timeout)}})
					release := make(chan struct{})
					outcomes, loads := storm(t, c, f, callers, release)
					require.Equal(t, 1, loads)
					for _, o := range outcomes {
						if want := cmp.Or(f.after, gathering); o.took != want {
							t.Fatalf("a caller got its outcome after %v, want %v", o.took, want)
						}
						if f.check == nil {
							require.NoError(t, o.err)
						} else {
							require.NoError(t, f.check(o.err))
						}
						require.Equal(t, f.value, o.value)
					}
					if f.alone != nil {
						require.True(t, f.alone(c.Stats().Courier), "%+v", c.Stats().Courier)
					}
					require.Zero(t, c.Stats().Courier.Waiting)
					require.Zero(t, c.Stats().Courier.InFlight)

					v, ok := c.Get("faulty")
					require.Equal(t, f.value != "", ok, "a value is stored")
					require.Equal(t, f.value, v)
					c.Delete("faulty")
					// The function that hangs still hangs.
					began := time.Now()
					v, err := c.Fetch(t.Context(), "faulty", returns[string]("good"))
					require.NoError(t, err)
					require.Equal(t, "good", v)
					require.Zero(t, time.Since(began))

					close(release)
					synctest.Wait()
					v, _ = c.Get("faulty")
					require.Equal(t, "good", v, "the late result is dropped")
					require.Zero(t, c.Stats().Courier.Abandoned)
					require.Zero(t, c.Loads())
				})
			})
		}
	}
}

// The same faults without the link: the callers wait until their own deadlines,
// and the key stays dead for later callers.
func TestFaultsUnlinked(t *testing.T) {
	for _, f := range faults() {
		for _, callers := range []int{1, 2, 1000} {
			t.Run(fmt.Sprintf("%s/%d", f.name, callers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCache(t, cache.Options[string, string]{Courier: []courier.Option{courier.WithTimeout(
						f.timeout), courier.WithUnlinked()}})
					release := make(chan struct{})
					outcomes, loads := storm(t, c, f, callers, release)
					require.Equal(t, 1, loads)
					for _, o := range outcomes {
						if !f.snowball {
							require.Equal(t, f.value, o.value)
							continue
						}
						require.ErrorIs(t, o.err, context.DeadlineExceeded)
						require.NotErrorIs(t, o.err, courier.ErrTimeout)
						require.Equal(t, callerPatience, o.took)
					}
					ctx, cancel := context.WithTimeout(t.Context(), callerPatience)
					defer cancel()
					c.Delete("faulty")
					began := time.Now()
					_, err := c.Fetch(ctx, "faulty", returns[string]("good"))
					if f.snowball {
						require.ErrorIs(t, err, context.DeadlineExceeded)
						require.Equal(t, callerPatience, time.Since(began))
					} else {
						require.NoError(t, err)
					}
					close(release)
					require.NoError(t, c.Close())
				})
			})
		}
	}
}

// A recurring fault affects only its own callers, up to the bound on functions that hang. Past the
// bound, callers are refused at once.
func TestRepeatedHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string, string]{Courier: []courier.Option{courier.WithTimeout(
			time.Second)}})
		release := make(chan struct{})
		hang := func(context.Context, string) (string, error) {
			<-release
			return "late", nil
		}
		for range courier.DefaultMaxAbandonedPerKey {
			_, err := c.Fetch(t.Context(), "faulty", hang)
			require.ErrorIs(t, err, courier.ErrTimeout)
		}
		began := time.Now()
		for range 100 {
			_, err := c.Fetch(t.Context(), "faulty", hang)
			require.ErrorIs(t, err, courier.ErrOverloaded)
		}
		require.Zero(t, time.Since(began))
		_, err := c.Fetch(t.Context(), "healthy", returns[string]("good"))
		require.NoError(t, err)
		close(release)
		synctest.Wait()
		v, err := c.Fetch(t.Context(), "faulty", returns[string]("good"))
		require.NoError(t, err)
		require.Equal(t, "good", v)
	})
}
