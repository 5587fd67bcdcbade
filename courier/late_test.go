package courier_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// An origin counts the calls of its fetch function.
type origin struct {
	mu            sync.Mutex
	running, most int
	starts        []time.Duration // since begin
	begin         time.Time
}

func (o *origin) enter() (call int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.begin.IsZero() {
		o.begin = time.Now()
	}
	o.starts = append(o.starts, time.Since(o.begin))
	o.running++
	o.most = max(o.most, o.running)
	return len(o.starts)
}

func (o *origin) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running--
}

// startsWithin returns how many calls began from and before, since the first.
func (o *origin) startsWithin(from, before time.Duration) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, at := range o.starts {
		if at >= from && at < before {
			n++
		}
	}
	return n
}

// arrive calls do ten times a second for d, each time in a new goroutine with a deadline of within.
// It returns the errors in the order of the calls.
func arrive(d, within time.Duration, do func(context.Context) error) []error {
	const every = 100 * time.Millisecond
	errs := make([]error, d/every)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), within)
			defer cancel()
			errs[i] = do(ctx)
		})
		time.Sleep(every)
	}
	wg.Wait()
	return errs
}

// The first fetch of a hot key hangs, and later ones would return at once. With the default options
// the key works again after the first deadline.
func TestHangOfAHotKey(t *testing.T) {
	for name, heeds := range map[string]bool{"deaf to its context": false, "heeds its context": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int]()
				release := make(chan struct{})
				var o origin
				errs := arrive(time.Minute, 950*time.Millisecond, func(ctx context.Context) error {
					_, _, err := c.Do(ctx, "key", func(ctx context.Context) (int, error) {
						if o.enter() > 1 {
							return 7, nil
						}
						if heeds {
							<-ctx.Done()
						} else {
							<-release
						}
						return 0, ctx.Err()
					})
					return err
				})
				for i, err := range errs {
					if i < 10 { // came before the first deadline
						assert.ErrorIs(t, err, context.DeadlineExceeded)
					} else {
						require.NoError(t, err, "caller %d", i)
					}
				}
				assert.Equal(t, time.Second, o.starts[1])
				assert.EqualValues(t, 1, c.Stats().Late)
				close(release)
				synctest.Wait()
				still(t, c.Stats())
			})
		})
	}
}

// Functions that hang do not make the courier refuse callers, even if the key has worked often
// since.
func TestFreshFlightIsJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		release := make(chan struct{})
		patient := callers(t, c, 1, "key", 0, deaf(release))
		assert.ErrorIs(t, callers(t, c, 1, "key", time.Second, nil).one().err, context.DeadlineExceeded)
		fresh := callers(t, c, 5, "key", 0, sleeps(time.Second))
		for _, o := range fresh.wait() {
			assert.Equal(t, outcome{value: 7, shared: true, after: time.Second}, o)
		}
		assert.Equal(t, 1, c.Stats().InFlight, "the late flight goes on for its waiters")
		close(release)
		assert.Equal(t, -1, patient.one().value)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// An origin that is only slower than its callers is not called again and again, and a caller that
// waits long enough gets the value.
func TestOriginSlowerThanItsCallers(t *testing.T) {
	for name, heeds := range map[string]bool{"deaf to its context": false, "heeds its context": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int]()
				var o origin
				fetch := func(ctx context.Context) (int, error) {
					o.enter()
					defer o.leave()
					if !heeds {
						time.Sleep(5 * time.Second)
						return 7, nil
					}
					select {
					case <-time.After(5 * time.Second):
						return 7, nil
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				}
				var patient sync.WaitGroup
				for i := range 30 {
					patient.Go(func() {
						time.Sleep(time.Duration(i) * 3700 * time.Millisecond)
						ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
						defer cancel()
						v, _, err := c.Do(ctx, "key", fetch)
						assert.NoError(t, err, "a caller who came after %v", time.Duration(i)*3700*time.Millisecond)
						assert.Equal(t, 7, v)
					})
				}
				arrive(2*time.Minute, time.Second, func(ctx context.Context) error {
					_, _, err := c.Do(ctx, "key", fetch)
					return err
				})
				patient.Wait()
				time.Sleep(time.Minute)
				synctest.Wait()
				still(t, c.Stats())
				t.Log("starts", o.starts)
				assert.LessOrEqual(t, o.most, 2, "calls at a time")
				const part = 30 * time.Second
				before := o.startsWithin(0, part)
				for from := part; from < 2*time.Minute; from += part {
					now := o.startsWithin(from, from+part)
					assert.LessOrEqual(t, now, before, "starts become less frequent")
					before = now
				}
				assert.LessOrEqual(t, before, 6, "one after the other at the end")
			})
		})
	}
}

// A success that came in time for all callers ends the pause between fresh flights.
func TestRestStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		hang := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil }
		patient := func() { callers(t, c, 1, "key", 25*time.Second, hang) }
		late := func() {
			t.Helper()
			assert.ErrorIs(t, callers(t, c, 1, "key", time.Second, hang).one().err, context.DeadlineExceeded)
		}
		for range 3 {
			patient()
			late()
			started := c.Stats().Started
			patient() // at once
			assert.Equal(t, started+1, c.Stats().Started)
			late()
			patient() // the key rests
			assert.Equal(t, started+1, c.Stats().Started)
			time.Sleep(4 * time.Second) // two run
			works(t, c, "key")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// A caller that is cancelled does not make the flight late.
func TestCancellationIsNoLateness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		h := callers(t, c, 1, "key", 0, sleeps(10*time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, _, err := c.Do(ctx, "key", nil)
		assert.ErrorIs(t, err, context.Canceled)
		joined := callers(t, c, 1, "key", 0, nil)
		assert.Equal(t, 10*time.Second, h.one().after)
		assert.Equal(t, 9*time.Second, joined.one().after)
		assert.Zero(t, c.Stats().Late)
	})
}

// A flight that waits for its turn is not late: a fresh one would wait longer.
func TestQueuedFlightIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		callers(t, c, 1, "holder", 0, sleeps(3*time.Second))
		patient := callers(t, c, 1, "key", 0, value(7))
		callers(t, c, 1, "key", time.Second, nil).wait()
		callers(t, c, 1, "key", time.Second, nil).wait()
		assert.Equal(t, outcome{value: 7, shared: true, after: 3 * time.Second}, patient.one())
		assert.EqualValues(t, 2, c.Stats().Started)
	})
}

// A key whose nested call hangs is late as well.
func TestHangInANestedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, inner := courier.New[string, int](), courier.New[string, int]()
		release := make(chan struct{})
		var o origin
		errs := arrive(time.Minute, 950*time.Millisecond, func(ctx context.Context) error {
			_, _, err := outer.Do(ctx, "outer", func(ctx context.Context) (int, error) {
				v, _, err := inner.Do(ctx, "inner", func(context.Context) (int, error) {
					if o.enter() == 1 {
						<-release
					}
					return 7, nil
				})
				return v, err
			})
			return err
		})
		for i, err := range errs[20:] {
			require.NoError(t, err, "caller %d", 20+i)
		}
		close(release)
		synctest.Wait()
		still(t, inner.Stats())
	})
}

// A caller can pass on that a caller in another process has waited in vain.
func TestLateAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		release := make(chan struct{})
		stuck := callers(t, c, 1, "key", 0, deaf(release))
		time.Sleep(time.Second)

		// The other process has seen an older flight than this one.
		young, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, _, err := c.Do(courier.ContextWithLateAge(context.WithoutCancel(young), 3*time.Second),
			"other", value(1))
		require.NoError(t, err)
		go func() {
			_, _, err := c.Do(courier.ContextWithLateAge(t.Context(), 3*time.Second), "key", nil)
			assert.NoError(t, err)
		}()
		synctest.Wait()
		assert.EqualValues(t, 1, c.Stats().Joined)

		ctx := courier.ContextWithLateAge(t.Context(), time.Second)
		v, _, err := c.Do(ctx, "key", func(ctx context.Context) (int, error) {
			assert.Equal(t, time.Second, courier.LateAge(ctx), "the age is passed on")
			assert.Zero(t, courier.LateAge(courier.Detach(ctx)))
			return 7, nil
		})
		assert.NoError(t, err)
		assert.Equal(t, 7, v)
		close(release)
		stuck.wait()
		synctest.Wait()
		still(t, c.Stats())
	})
}

// If every try hangs, tries become less frequent, but never stop.
func TestKeyThatHangsForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		release := make(chan struct{})
		healthy := time.Now().Add(time.Hour)
		var o origin
		errs := arrive(time.Hour+3*time.Minute, time.Second, func(ctx context.Context) error {
			_, _, err := c.Do(ctx, "key", func(context.Context) (int, error) {
				o.enter()
				if time.Now().Before(healthy) {
					<-release
				}
				return 7, nil
			})
			return err
		})
		starts := o.startsWithin(0, time.Hour)
		t.Log("starts", starts)
		assert.Less(t, starts, 100)
		assert.NoError(t, errs[len(errs)-1])
		first := 0
		for ; errs[first] != nil; first++ {
		}
		served := time.Duration(first) * 100 * time.Millisecond
		assert.Less(t, served-time.Hour, 2*time.Minute, "after the origin worked again")
		close(release)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// Late flights that still have waiters must not hold all turns.
func TestLateFlightsLeaveTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 4
		c := courier.New[string, int](courier.WithMaxConcurrent(keys))
		var first [keys]origin
		key := func(i int) string { return string(rune('a' + i)) }
		fetch := func(i int) fetchFunc {
			return func(ctx context.Context) (int, error) {
				if first[i].enter() == 1 {
					<-ctx.Done()
				}
				return 7, ctx.Err()
			}
		}
		for i := range keys {
			callers(t, c, 1, key(i), 0, fetch(i)) // without a deadline
		}
		for i := range keys {
			callers(t, c, 1, key(i), time.Second, fetch(i))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		var fresh [keys]*herd
		for i := range keys {
			fresh[i] = callers(t, c, 1, key(i), 0, fetch(i))
		}
		for _, h := range fresh {
			assert.Equal(t, outcome{value: 7}, h.one())
		}
		works(t, c, "healthy")
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.NoError(t, courier.AtRest(c))
	})
}

// A success that is too late for one of its callers is still a success: functions that hung before
// it no longer count.
func TestSlowSuccessForgives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxAbandoned(1, 1024))
		release := make(chan struct{})
		callers(t, c, 1, "key", time.Second, deaf(release)).wait()
		overloaded(t, refusal(t, c, "key"), "key", courier.KeyStuck)
		time.Sleep(time.Second) // now it may be tried
		patient := callers(t, c, 1, "key", 0, sleeps(2*time.Second))
		callers(t, c, 1, "key", time.Second, nil).wait()
		assert.NoError(t, patient.one().err)
		works(t, c, "key")
		works(t, c, "key")
		close(release)
		synctest.Wait()
	})
}

// If functions of other keys have reached the total bound, callers join a late flight instead of
// being refused.
func TestLateFlightIsJoinedPastTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxAbandoned(8, 1))
		release := make(chan struct{})
		patient := callers(t, c, 1, "slow", 0, sleeps(5*time.Second))
		callers(t, c, 1, "leaks", time.Second, deaf(release)).wait()
		callers(t, c, 1, "slow", time.Second, nil).wait()
		works(t, c, "try") // the try that the bound allows now
		callers(t, c, 1, "leaks", time.Second, deaf(release)).wait()
		joined := callers(t, c, 1, "slow", 0, nil)
		assert.Equal(t, 7, joined.one().value)
		assert.Equal(t, 5*time.Second, patient.one().after)
		close(release)
		synctest.Wait()
	})
}
