package courier_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// patiently calls Do with a patience of d.
func patiently(c *courier.Courier[string, int], d time.Duration, fetch fetchFunc) (o outcome) {
	return patientlyIn(context.Background(), c, d, fetch)
}

func patientlyIn(
	ctx context.Context, c *courier.Courier[string, int], d time.Duration, fetch fetchFunc,
) (o outcome) {
	start := time.Now()
	o.value, o.shared, o.err = c.Do(courier.ContextWithPatience(ctx, d), "key", fetch)
	o.after = time.Since(start)
	return o
}

// TestPatience is the table of which caller waits for which flight, with a patience of a second.
func TestPatience(t *testing.T) {
	const (
		d     = time.Second
		never = time.Hour
	)
	type flight struct {
		name string
		ends time.Duration // its function
		err  error
		end  func() (int, error)
	}
	flights := []flight{
		{"quick", 100 * time.Millisecond, nil, func() (int, error) { return 7, nil }},
		{"slow", 5 * time.Second, nil, func() (int, error) { return 7, nil }},
		{"hangs", never, nil, nil},
		{"fails", 100 * time.Millisecond, errBoom, func() (int, error) { return 0, errBoom }},
		{"fails late", 5 * time.Second, errBoom, func() (int, error) { return 0, errBoom }},
		{"panics", 100 * time.Millisecond, errBoom, func() (int, error) { panic(errBoom) }},
		{"panics late", 5 * time.Second, errBoom, func() (int, error) { panic(errBoom) }},
	}
	type caller struct {
		name          string
		before        func(t *testing.T, c *courier.Courier[string, int], fetch fetchFunc)
		within, leave time.Duration // deadline; cancelled after
		nested        bool
	}
	var others sync.WaitGroup
	type scene = func(*testing.T, *courier.Courier[string, int], fetchFunc)
	comes := func(with time.Duration, then time.Duration) scene {
		return func(_ *testing.T, c *courier.Courier[string, int], fetch fetchFunc) {
			others.Go(func() { patiently(c, with, fetch) })
			time.Sleep(then)
		}
	}
	for _, who := range []caller{
		{name: "first"},
		{name: "joiner", before: comes(0, 50*time.Millisecond)},
		{name: "joiner after late", before: comes(d, d+d/2)},
		{name: "nearer deadline", within: d / 2},
		{name: "cancelled", leave: d / 2},
		{name: "nested", nested: true},
	} {
		for _, what := range flights {
			t.Run(who.name+"/"+what.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := courier.New[string, int]()
					var cut int // functions that were cancelled
					fetch := func(ctx context.Context) (int, error) {
						select {
						case <-time.After(what.ends):
							return what.end()
						case <-ctx.Done():
							cut++
							return 0, ctx.Err()
						}
					}
					begin := time.Now()
					if who.before != nil {
						who.before(t, c, fetch)
					}
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					if who.within > 0 {
						ctx, cancel = context.WithTimeout(ctx, who.within)
						defer cancel()
					}
					if who.leave > 0 {
						time.AfterFunc(who.leave, cancel)
					}
					came := time.Since(begin)
					var o outcome
					if who.nested {
						outer := courier.New[string, int]()
						_, _, err := outer.Do(ctx, "outer", func(ctx context.Context) (int, error) {
							o = patientlyIn(ctx, c, d, fetch)
							return 0, nil
						})
						assert.NoError(t, err)
					} else {
						o = patientlyIn(ctx, c, d, fetch)
					}

					// The reference.
					started, flights := time.Duration(0), uint64(1)
					afterLate := who.name == "joiner after late"
					if afterLate && what.ends < d { // it has ended before
						started, flights = came, 2
					}
					end, want := started+what.ends, what.err
					late := false
					switch {
					case afterLate && what.ends > d:
						end, want, late, flights = came, courier.ErrLate, true, 2
					case who.within > 0 && who.within < what.ends:
						end, want, late = who.within, context.DeadlineExceeded, true
					case who.leave > 0 && who.leave < what.ends:
						end, want = who.leave, context.Canceled
					case what.ends > d:
						end, want, late = started+d, courier.ErrLate, true
					}
					assert.Equal(t, end-came, o.after)
					if want == nil {
						assert.NoError(t, o.err)
						assert.Equal(t, 7, o.value)
					} else {
						assert.ErrorIs(t, o.err, want)
						assert.Zero(t, o.value)
					}
					assert.Equal(t, flights, c.Stats().Started)
					assert.Equal(t, late, c.Stats().Late > 0)
					if late {
						assert.NotZero(t, c.Stats().InFlight, "the flight goes on")
					}
					assert.Equal(t, errors.Is(want, context.Canceled), c.Stats().Deserted > 0)

					others.Wait()
					time.Sleep(time.Minute)
					synctest.Wait()
					still(t, c.Stats())
					assert.NoError(t, courier.AtRest(c))
					assert.Equal(t, what.ends == never || errors.Is(want, context.Canceled), cut > 0)
				})
			})
		}
	}
}

// While a flight is late, callers with patience do not wait for it, nor for the fresh ones beside
// it.
func TestNobodyPaysThePatienceTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d = time.Second
		c := courier.New[string, int]()
		release := make(chan struct{})
		var o origin
		var outcomes [290]outcome
		var wg sync.WaitGroup
		for i := range outcomes {
			wg.Go(func() {
				outcomes[i] = patiently(c, d, func(context.Context) (int, error) {
					o.enter()
					<-release
					return 0, nil
				})
			})
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
		for i, o := range outcomes {
			require.ErrorIs(t, o.err, courier.ErrLate, "caller %d", i)
			require.Equal(t, max(0, d-time.Duration(i)*100*time.Millisecond), o.after, "caller %d", i)
		}
		synctest.Wait()
		t.Log("starts", o.starts)
		assert.Equal(t, d, o.starts[1], "the next caller starts a fresh flight")
		assert.LessOrEqual(t, len(o.starts), 5)
		close(release)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// A function hangs for a day while callers with patience keep coming. The number of running calls
// is bounded, no caller waits longer than its patience, the function is tried now and then, and
// once it works again the next try succeeds.
func TestPatienceWithAHangOfADay(t *testing.T) {
	day, every := 24*time.Hour, 100*time.Millisecond
	if raced || testing.Short() {
		day = time.Hour
	}
	const d = 500 * time.Millisecond
	for _, tc := range []struct {
		name string
		deaf bool
		opts []courier.Option
		most int // functions at a time; those that are stuck are tried once a minute and more
	}{
		{"deaf to its context", true, nil, 8 + int(day/time.Minute) + 10},
		{"heeds its context", false, nil, 5},
		{"heeds its context, no time-out", false, []courier.Option{courier.WithTimeout(0)}, 2},
		{"heeds its context, long time-out", false, []courier.Option{
			courier.WithTimeout(48 * time.Hour), courier.WithMaxAbandoned(3, 1024),
		}, 3 + 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int](tc.opts...)
				release := make(chan struct{})
				mended := time.Now().Add(day)
				var o origin
				fetch := func(ctx context.Context) (int, error) {
					o.enter()
					defer o.leave()
					if !time.Now().Before(mended) {
						return 7, nil
					}
					if tc.deaf {
						<-release
					} else {
						<-ctx.Done()
					}
					return 0, ctx.Err()
				}
				var mu sync.Mutex
				var served time.Time
				var waited time.Duration
				var wg sync.WaitGroup
				for range (day + 5*time.Minute) / every {
					wg.Go(func() {
						got := patiently(c, d, fetch)
						mu.Lock()
						defer mu.Unlock()
						waited += got.after
						if got.after > d {
							t.Errorf("a caller waited %v", got.after)
						}
						if got.err == nil && served.IsZero() {
							served = time.Now()
						}
					})
					time.Sleep(every)
				}
				wg.Wait()
				synctest.Wait()
				s := c.Stats()
				t.Logf("%d functions, %d at a time, callers waited %v, served %v after; %+v",
					len(o.starts), o.most, waited, served.Sub(mended), s)
				assert.LessOrEqual(t, o.most, tc.most, "functions at a time")
				for from := time.Duration(0); from < day; from += 10 * time.Minute {
					assert.NotZero(t, o.startsWithin(from, from+10*time.Minute), "tried again")
				}
				require.False(t, served.IsZero())
				assert.Less(t, served.Sub(mended), 4*time.Minute+d)
				close(release)
				time.Sleep(48 * time.Hour) // flights that go on alone end
				synctest.Wait()
				still(t, c.Stats())
				assert.NoError(t, courier.AtRest(c))
			})
		})
	}
}

// A flight that goes on without a waiter ends like any other.
func TestFlightThatGoesOnAlone(t *testing.T) {
	const d = time.Second
	hang := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
	boom := func(context.Context) (int, error) { time.Sleep(2 * d); return 0, errBoom }
	for _, tc := range []struct {
		name  string
		opts  []courier.Option
		fetch fetchFunc
		check func(t *testing.T, c *courier.Courier[string, int])
	}{
		{"succeeds", nil, sleeps(2 * d), func(t *testing.T, c *courier.Courier[string, int]) {
			time.Sleep(d)
			synctest.Wait()
			assert.Equal(t, courier.Stats{Started: 1, Late: 1}, c.Stats())
		}},
		{"is joined", nil, sleeps(2 * d), func(t *testing.T, c *courier.Courier[string, int]) {
			low := courier.ContextWithLowPriority(t.Context()) // which starts no fresh one
			v, _, err := c.Do(low, "key", nil)
			assert.NoError(t, err)
			assert.Equal(t, 7, v)
		}},
		{"is left again", nil, sleeps(3 * d), func(t *testing.T, c *courier.Courier[string, int]) {
			low, cancel := context.WithCancel(courier.ContextWithLowPriority(t.Context()))
			time.AfterFunc(d, cancel)
			_, _, err := c.Do(low, "key", nil)
			assert.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, 1, c.Stats().InFlight)
			time.Sleep(d)
			synctest.Wait()
			assert.Zero(t, c.Stats().Deserted)
		}},
		{"times out", nil, hang, func(t *testing.T, c *courier.Courier[string, int]) {
			time.Sleep(courier.DefaultTimeout - d)
			synctest.Wait()
			assert.Equal(t, courier.Stats{Started: 1, Late: 1, Timeouts: 1, AbandonedTotal: 1}, c.Stats())
		}},
		{"backs off", []courier.Option{courier.WithBackoff(time.Hour, time.Hour)}, boom,
			func(t *testing.T, c *courier.Courier[string, int]) {
				time.Sleep(d)
				synctest.Wait()
				refused(t, c, "key", errBoom)
			}},
		{"is no failure", []courier.Option{
			courier.WithBackoff(time.Hour, time.Hour),
			courier.WithIsFailure(func(err error) bool { return !errors.Is(err, errBoom) }),
		}, boom, func(t *testing.T, c *courier.Courier[string, int]) {
			time.Sleep(d)
			synctest.Wait()
			works(t, c, "key")
		}},
		{"is shut down", nil, hang, func(t *testing.T, c *courier.Courier[string, int]) {
			assert.NoError(t, c.Shutdown(t.Context()))
			assert.Zero(t, c.Stats().Timeouts)
		}},
		{"is forgotten", nil, hang, func(t *testing.T, c *courier.Courier[string, int]) {
			c.Forget("key")
			synctest.Wait()
			assert.Equal(t, courier.Stats{Started: 1, Late: 1, Deserted: 1, AbandonedTotal: 1}, c.Stats())
		}},
		{"is forgotten with all", nil, hang, func(t *testing.T, c *courier.Courier[string, int]) {
			c.ForgetAll()
			synctest.Wait()
			assert.Equal(t, courier.Stats{Started: 1, Late: 1, Deserted: 1, AbandonedTotal: 1}, c.Stats())
		}},
		{"leaves its place", []courier.Option{courier.WithMaxWaiting(1), courier.WithMaxWaitingPerKey(1)},
			hang, func(t *testing.T, c *courier.Courier[string, int]) {
				assert.Zero(t, c.Stats().Waiting)
				works(t, c, "another")
			}},
		{"keeps its turn", []courier.Option{courier.WithMaxConcurrent(1)}, sleeps(2 * d),
			func(t *testing.T, c *courier.Courier[string, int]) {
				o := callers(t, c, 1, "another", 0, value(1)).one()
				assert.Equal(t, d, o.after)
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int](tc.opts...)
				o := patiently(c, d, tc.fetch)
				assert.ErrorIs(t, o.err, courier.ErrLate)
				assert.Equal(t, d, o.after)
				assert.Equal(t, 1, c.Stats().InFlight)
				tc.check(t, c)
				time.Sleep(time.Minute)
				synctest.Wait()
				still(t, c.Stats())
				assert.NoError(t, courier.AtRest(c))
			})
		})
	}
}

// Without a time-out, a flight that was replaced and that all callers have left must not stay for
// ever.
func TestReplacedFlightWithoutATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(0))
		hang := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
		assert.ErrorIs(t, patiently(c, time.Second, hang).err, courier.ErrLate)
		assert.ErrorIs(t, patiently(c, time.Second, value(7)).err, courier.ErrLate)
		synctest.Wait()
		still(t, c.Stats())

		// A flight with a waiter stays for that long.
		patient := callers(t, c, 1, "key", time.Minute, hang)
		assert.ErrorIs(t, patiently(c, time.Second, nil).err, courier.ErrLate)
		assert.ErrorIs(t, patiently(c, time.Second, value(7)).err, courier.ErrLate)
		synctest.Wait()
		assert.Equal(t, 1, c.Stats().InFlight)
		assert.ErrorIs(t, patient.one().err, context.DeadlineExceeded)
		synctest.Wait()
		still(t, c.Stats())
		assert.NoError(t, courier.AtRest(c))
	})
}

// A flight that waits for its turn is not late, but callers with patience wait no longer for it
// than for any other.
func TestPatienceInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1))
		callers(t, c, 1, "holder", 0, sleeps(5*time.Second))
		o := patiently(c, time.Second, sleeps(time.Second))
		assert.ErrorIs(t, o.err, courier.ErrLate)
		assert.Equal(t, time.Second, o.after)
		for range 3 {
			time.Sleep(time.Second)
			o = patiently(c, time.Second, nil)
			assert.ErrorIs(t, o.err, courier.ErrLate)
			assert.Zero(t, o.after)
		}
		assert.Equal(t, courier.Stats{Started: 2, InFlight: 2, Waiting: 1}, c.Stats())
		time.Sleep(time.Second) // its turn has come
		synctest.Wait()
		assert.Equal(t, 1, c.Stats().InFlight)
		time.Sleep(time.Second)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// A refresh that a caller with patience needs is a flight like any other, even if that caller does
// not join it.
func TestPatienceWithALowFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1),
			courier.WithBackoff(time.Hour, time.Hour))
		callers(t, c, 1, "holder", 0, sleeps(3*time.Second))
		refresh := func(key string, fetch fetchFunc) {
			go func() { _, _, _ = c.Do(courier.ContextWithLowPriority(t.Context()), key, fetch) }()
			synctest.Wait()
		}
		refresh("other", sleeps(time.Second))
		refresh("key", failing(errBoom))
		time.Sleep(2 * time.Second)
		assert.ErrorIs(t, patiently(c, time.Second, nil).err, courier.ErrLate)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, 1, c.Stats().InFlight, "its flight had its turn before the other one")
		time.Sleep(time.Second)
		synctest.Wait()
		works(t, c, "key") // the key does not rest: the flight began without an ordinary caller
		still(t, c.Stats())
	})
}

// A flight that a caller with patience did not wait for goes on, even if its callers leave.
func TestWhatIsPassedByGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		leave := func(after time.Duration, fetch fetchFunc) {
			ctx, cancel := context.WithCancel(courier.ContextWithLowPriority(context.Background()))
			time.AfterFunc(after, cancel)
			go func() {
				_, _, err := c.Do(ctx, "key", fetch)
				assert.ErrorIs(t, err, context.Canceled)
			}()
			synctest.Wait()
		}
		leave(4*time.Second, sleeps(20*time.Second))
		time.Sleep(2 * time.Second)
		assert.ErrorIs(t, patiently(c, time.Second, sleeps(10*time.Second)).err, courier.ErrLate)
		leave(time.Second, nil) // of the fresh one
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, 1, c.Stats().InFlight, "the fresh flight goes on")
		assert.EqualValues(t, 1, c.Stats().Deserted, "the first flight was not asked to go on")

		assert.ErrorIs(t, patiently(c, time.Second, nil).err, courier.ErrLate)
		time.Sleep(time.Minute)
		synctest.Wait()
		still(t, c.Stats())

		assert.NoError(t, courier.AtRest(c))
	})
}

// While the key rests, so that no fresh flight starts, the late one goes on.
func TestLateOneIsPassedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		short := func() { callers(t, c, 1, "key", time.Second, nil).wait() }
		patient := callers(t, c, 1, "key", 0, sleeps(20*time.Second))
		short()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, _, err := c.Do(ctx, "key", sleeps(10*time.Second))
			assert.ErrorIs(t, err, context.Canceled)
		}()
		synctest.Wait()
		short()
		started := c.Stats().Started
		assert.ErrorIs(t, patiently(c, time.Minute, nil).err, courier.ErrLate)
		cancel()
		synctest.Wait()
		assert.Equal(t, started, c.Stats().Started)
		assert.Equal(t, 2, c.Stats().InFlight)
		patient.wait()
		synctest.Wait()
		still(t, c.Stats())
		assert.NoError(t, courier.AtRest(c))
	})
}

// A fresh flight counts as fresh even if it started at the same time as the late one.
func TestFreshFlightInTheSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		callers(t, c, 1, "key", 0, sleeps(time.Second))
		go func() {
			_, _, err := c.Do(courier.ContextWithLateAge(t.Context(), 1), "key",
				func(ctx context.Context) (int, error) {
					assert.NotZero(t, courier.LateAge(ctx))
					time.Sleep(time.Second)
					return 7, nil
				})
			assert.NoError(t, err)
		}()
		synctest.Wait()
		o := patiently(c, time.Second, nil)
		assert.ErrorIs(t, o.err, courier.ErrLate)
		assert.Zero(t, o.after)
		time.Sleep(time.Second)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// A caller with patience that does not wait is not refused because too many others wait.
func TestLateComesBeforeOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxWaiting(2), courier.WithMaxWaitingPerKey(2))
		patient := callers(t, c, 2, "key", 0, sleeps(5*time.Second))
		o := patiently(c, time.Second, nil)
		overloaded(t, o.err, "key", courier.Waiting)
		time.Sleep(2 * time.Second)
		o = patiently(c, time.Second, sleeps(5*time.Second))
		assert.ErrorIs(t, o.err, courier.ErrLate)
		assert.Zero(t, o.after)
		assert.Equal(t, 2, c.Stats().InFlight)
		assert.Equal(t, 2, c.Stats().Waiting)
		patient.wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.NoError(t, courier.AtRest(c))
	})
}

// A caller with unlimited patience waits until the flight ends, unless it is known to be late.
func TestPatienceWithoutEnd(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second} {
		t.Run(fmt.Sprint(d), func(t *testing.T) { //nolint:gocritic // shorter so
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int]()
				o := patiently(c, d, sleeps(20*time.Second))
				assert.Equal(t, outcome{value: 7, after: 20 * time.Second}, o)

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				o = patientlyIn(ctx, c, d, sleeps(20*time.Second))
				assert.Equal(t, context.DeadlineExceeded, o.err)
				o = patiently(c, d, sleeps(20*time.Second))
				assert.ErrorIs(t, o.err, courier.ErrLate)
				assert.Zero(t, o.after)
				assert.Equal(t, 2, c.Stats().InFlight)
				o = patiently(c, d, nil)
				assert.ErrorIs(t, o.err, courier.ErrLate, "beside a late one")
				time.Sleep(time.Minute)
				synctest.Wait()
				still(t, c.Stats())
			})
		})
	}
}

// A parent does not wait for a flight that its nested call has left to go on alone.
func TestPatienceInANestedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		release := make(chan struct{})
		ask := func(ctx context.Context, key string, d time.Duration, fetch fetchFunc) error {
			_, _, err := c.Do(courier.ContextWithPatience(ctx, d), key, fetch)
			return err
		}
		parent := callers(t, c, 1, "parent", 0, func(ctx context.Context) (int, error) {
			assert.ErrorIs(t, ask(ctx, "parent", time.Minute, nil), courier.ErrDeadlock)
			assert.ErrorIs(t, ask(ctx, "child", time.Second, deaf(release)), courier.ErrLate)
			// The fresh one waits for the parent.
			assert.ErrorIs(t, ask(ctx, "child", time.Second, func(ctx context.Context) (int, error) {
				return asks(c, "parent", nil)(courier.ContextWithLateAge(ctx, 0))
			}), courier.ErrLate)
			time.Sleep(time.Second)
			assert.ErrorIs(t, ask(ctx, "parent", time.Second, value(9)), courier.ErrDeadlock,
				"late as it is")
			o := c.DoMany(courier.ContextWithPatience(ctx, time.Second), []string{"parent"}, nil)
			assert.ErrorIs(t, o[0].Err, courier.ErrDeadlock)
			return 8, nil
		})
		assert.Equal(t, outcome{value: 8, shared: true, after: 2 * time.Second}, parent.one())
		close(release)
		synctest.Wait()
		assert.EqualValues(t, 3, c.Stats().Started)
		assert.EqualValues(t, 3, c.Stats().Deadlocks)
		still(t, c.Stats())
		assert.NoError(t, courier.AtRest(c))
	})
}

// A flight whose key does not equal itself does not go on alone: no later caller could find it.
func TestPatienceWithAKeyThatDoesNotEqualItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[any, int](courier.WithTimeout(0))
		_, _, err := c.Do(courier.ContextWithPatience(t.Context(), time.Second), math.NaN(),
			func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})
		assert.ErrorIs(t, err, courier.ErrLate)
		synctest.Wait()
		still(t, c.Stats())
		assert.NoError(t, courier.AtRest(c))
	})
}

// Without the link, a caller with patience just leaves.
func TestUnlinkedPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithUnlinked())
		gate := make(chan struct{})
		hang := func(context.Context) (int, error) { <-gate; return 7, nil }
		for range 2 {
			o := patiently(c, time.Second, hang)
			assert.ErrorIs(t, o.err, courier.ErrLate)
		}
		assert.Equal(t, courier.Stats{Started: 1, Joined: 1, InFlight: 1}, c.Stats())
		joined := callers(t, c, 1, "key", 0, nil)
		close(gate)
		assert.Equal(t, 7, joined.one().value)
		still(t, c.Stats())
	})
}

func TestIsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errMissing = errors.New("no such record")
		c := courier.New[string, int](
			courier.WithBackoff(time.Hour, time.Hour),
			courier.WithTimeout(time.Second),
			courier.WithIsFailure(func(err error) bool {
				if err.Error() == "explosive" {
					panic("boom")
				}
				return !errors.Is(err, errMissing)
			}),
		)
		hang := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, errMissing }
		ends := func(err error) fetchFunc {
			return func(ctx context.Context) (int, error) {
				courier.Go(ctx, func(context.Context) error { return err })
				<-ctx.Done()
				return 0, nil
			}
		}
		do := func(key string, fetch fetchFunc) error {
			v, _, err := c.Do(t.Context(), key, fetch)
			assert.Zero(t, v)
			return err
		}
		for range 3 {
			assert.Equal(t, errMissing, do("key", failing(errMissing)), "an answer")
			assert.Equal(t, errMissing, do("key", ends(errMissing)), "an answer of a child")
		}
		assert.Equal(t, errBoom, do("key", failing(errBoom)))
		refused(t, c, "key", errBoom)
		assert.Equal(t, errBoom, do("child", ends(errBoom)))
		refused(t, c, "child", errBoom)
		assert.ErrorIs(t, do("hang", hang), courier.ErrTimeout)
		refused(t, c, "hang", courier.ErrTimeout)
		isPanic("boom")(t, do("panics", func(context.Context) (int, error) {
			return 3, errors.New("explosive")
		}))
		var p *courier.PanicError
		assert.ErrorAs(t, refusal(t, c, "panics"), &p)

		// An error that is an answer ends the back-off, as a success does.
		time.Sleep(time.Hour)
		assert.Equal(t, errMissing, do("key", failing(errMissing)))
		works(t, c, "key")

		all := courier.New[string, int](courier.WithBackoff(time.Hour, time.Hour),
			courier.WithIsFailure(nil))
		_, _, err := all.Do(t.Context(), "key", failing(errBoom))
		assert.Equal(t, errBoom, err)
		refused(t, all, "key", errBoom)
	})
}
