package courier_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

func overloaded(t *testing.T, err error, key any, reason courier.OverloadReason) {
	t.Helper()
	var e *courier.OverloadedError
	if assert.ErrorAs(t, err, &e) {
		assert.Equal(t, key, e.Key)
		assert.Equal(t, reason, e.Reason)
		assert.ErrorIs(t, err, courier.ErrOverloaded)
		assert.Equal(t, "courier: overloaded: "+reason.String(), err.Error(), "without the key")
	}
}

func TestDefaultTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var zero courier.Courier[string, int]
		for _, c := range []*courier.Courier[string, int]{courier.New[string, int](), &zero} {
			release := make(chan struct{})
			h := callers(t, c, 2, "key", 0, deaf(release))
			for _, o := range h.wait() {
				assert.ErrorIs(t, o.err, courier.ErrTimeout)
				assert.Equal(t, courier.DefaultTimeout, o.after)
			}
			works(t, c, "key")
			close(release)
			synctest.Wait()
			still(t, c.Stats())
		}
	})
}

// One timer serves all flights of a shard: each must meet its own time-out.
func TestEachFlightHasItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[int, int](courier.WithTimeout(10 * time.Second))
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 300 * time.Millisecond)
				start := time.Now()
				_, _, err := c.Do(t.Context(), i, func(ctx context.Context) (int, error) {
					if i%3 == 0 {
						return 0, nil
					}
					<-ctx.Done()
					return 0, ctx.Err()
				})
				if i%3 == 0 {
					assert.NoError(t, err)
					return
				}
				assert.ErrorIs(t, err, courier.ErrTimeout)
				assert.Equal(t, 10*time.Second, time.Since(start))
			})
		}
		wg.Wait()
		synctest.Wait()
		still(t, c.Stats())
	})
}

// A courier of the whole process is used by several tests, each with a clock of
// its own.
func TestTimeoutInSeveralBubbles(t *testing.T) {
	c := courier.New[string, int]()
	works(t, c, "outside")
	for i := range 4 {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Duration(i*i) * 100 * time.Millisecond)
			works(t, c, "warm")
			o := callers(t, c, 1, "key", 0, func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, nil
			}).one()
			assert.ErrorIs(t, o.err, courier.ErrTimeout)
			assert.Equal(t, courier.DefaultTimeout, o.after)
		})
	}
}

// A timer outside a bubble, or of another bubble, must not end a flight of a bubble: the runtime
// would end the process.
func TestTimersOfOtherClocks(t *testing.T) {
	c := courier.New[int, int](courier.WithTimeout(time.Millisecond))
	do := func(key int, fetch fetchFunc) error {
		_, _, err := c.Do(t.Context(), key, fetch)
		return err
	}
	for key := range 100 { // arms the timer of each shard
		_ = do(key, value(1)) // it may be late on a busy machine
	}
	fired := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { close(fired) })
	synctest.Test(t, func(t *testing.T) {
		assert.NoError(t, do(1, func(context.Context) (int, error) {
			<-fired // a timer outside: the bubble's clock stands still meanwhile
			return 1, nil
		}))
	})
}

func TestMaxWaitingPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxWaitingPerKey(3))
		gate := make(chan struct{})
		fetch := func(context.Context) (int, error) { <-gate; return 7, nil }
		callers(t, c, 2, "slow", 0, fetch)
		short := callers(t, c, 1, "slow", time.Second, fetch)
		for range 3 {
			overloaded(t, refusal(t, c, "slow"), "slow", courier.KeyWaiting)
		}
		works(t, c, "other")
		assert.EqualValues(t, 3, c.Stats().Overloads)
		assert.Equal(t, 3, c.Stats().Waiting)

		low := courier.ContextWithLowPriority(t.Context())
		go func() {
			v, _, err := c.Do(low, "slow", nil)
			assert.NoError(t, err, "the flight has no waiter")
			assert.Equal(t, 7, v)
		}()
		synctest.Wait()

		// The deadline of one caller has passed, so the next caller starts a fresh flight.
		assert.ErrorIs(t, short.one().err, context.DeadlineExceeded)
		fresh := callers(t, c, 3, "slow", 0, fetch)
		overloaded(t, refusal(t, c, "slow"), "slow", courier.KeyWaiting)
		close(gate)
		fresh.wait()
		synctest.Wait()
		works(t, c, "slow")
		still(t, c.Stats())
	})
}

// The total limit on callers is exact, whatever their keys.
func TestMaxWaitingOverManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 100
		c := courier.New[int, int](courier.WithMaxWaiting(limit))
		gate := make(chan struct{})
		var refused, served int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 3 * limit {
			wg.Go(func() {
				_, _, err := c.Do(t.Context(), i%150, func(context.Context) (int, error) {
					<-gate
					return 0, nil
				})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					served++
				} else {
					refused++
					overloaded(t, err, i%150, courier.Waiting)
				}
			})
		}
		synctest.Wait()
		assert.Equal(t, limit, c.Stats().Waiting)
		close(gate)
		wg.Wait()
		assert.Equal(t, limit, served)
		assert.Equal(t, 2*limit, refused)
		for range limit { // all callers have left
			_, _, err := c.Do(t.Context(), 1, func(context.Context) (int, error) { return 0, nil })
			assert.NoError(t, err)
		}
	})
}

// Functions that leak, a few a day, must not add up to an outage.
func TestLeaksOfManyKeysAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = courier.DefaultMaxAbandoned
		c := courier.New[string, int](courier.WithTimeout(time.Second))
		release := make(chan struct{})
		refusals := 0
		for i := range 3 * bound {
			time.Sleep(time.Hour)
			_, _, err := c.Do(t.Context(), strconv.Itoa(i), deaf(release))
			require.ErrorIs(t, err, courier.ErrTimeout)
			// The first call after the bound was reached may have to wait for a second.
			if _, _, err = c.Do(t.Context(), "healthy", value(1)); err != nil {
				overloaded(t, err, "healthy", courier.Stuck)
				refusals++
				time.Sleep(time.Minute)
				works(t, c, "healthy")
			}
			works(t, c, "healthy")
		}
		assert.LessOrEqual(t, refusals, 3)
		assert.Equal(t, 3*bound, c.Stats().Abandoned)
		close(release)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// Keys that hang, each up to its own bound, must not affect others, and they work again as soon as
// their functions do.
func TestManyHangingKeysStopOnlyThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(time.Second))
		release := make(chan struct{})
		hanging := true
		const keys = 200
		ask := func(i int) error {
			_, _, err := c.Do(t.Context(), strconv.Itoa(i), func(context.Context) (int, error) {
				if hanging {
					<-release
				}
				return 7, nil
			})
			return err
		}
		var healthy, refusals int
		for range 600 { // of two seconds
			var wg sync.WaitGroup
			for i := range keys {
				wg.Go(func() { assert.Error(t, ask(i)) })
			}
			wg.Wait()
			for range 10 {
				healthy++
				if _, _, err := c.Do(t.Context(), "healthy", value(1)); err != nil {
					overloaded(t, err, "healthy", courier.Stuck)
					refusals++
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		abandoned := c.Stats().Abandoned
		t.Logf("%d of %d refused, %d functions abandoned", refusals, healthy, abandoned)
		assert.Less(t, refusals, healthy/20)
		assert.Less(t, abandoned, 3*courier.DefaultMaxAbandoned)

		hanging = false
		start := time.Now()
		for i := range keys {
			for ask(i) != nil {
				time.Sleep(time.Second)
			}
		}
		t.Logf("all keys worked again after %v", time.Since(start))
		assert.Less(t, time.Since(start), 5*time.Minute)
		close(release)
		synctest.Wait()
		still(t, c.Stats())
	})
}

// The load on the origin is bounded: functions that were abandoned keep half of the turns.
func TestAbandonedFunctionsKeepTheirTurns(t *testing.T) {
	for _, limit := range []int{1, 2, 5, 8} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int](courier.WithMaxConcurrent(limit),
					courier.WithTimeout(time.Second), courier.WithQueueWait(0))
				release := make(chan struct{})
				var o origin
				hang := func(context.Context) (int, error) { o.enter(); <-release; o.leave(); return 0, nil }
				for i := range limit {
					assert.ErrorIs(t, callers(t, c, 1, "stuck"+strconv.Itoa(i), 0, hang).one().err,
						courier.ErrTimeout)
				}
				o.most = 0
				work := func(context.Context) (int, error) { //nolint:unparam // the type of a fetch function
					o.enter()
					time.Sleep(time.Millisecond)
					o.leave()
					return 7, nil
				}
				all := func() {
					o.most = 0
					var wg sync.WaitGroup
					for i := range 3 * limit {
						wg.Go(func() {
							_, _, err := c.Do(t.Context(), strconv.Itoa(i), work)
							assert.NoError(t, err)
						})
					}
					wg.Wait()
				}
				all()
				assert.Equal(t, limit+limit-limit/2, o.most,
					"the limit, and those that are abandoned beyond half of it")
				close(release)
				synctest.Wait()
				all()
				assert.Equal(t, limit, o.most)
				still(t, c.Stats())
			})
		})
	}
}

// A call with low priority does not count towards the limits on callers, and gets its turn last.
func TestLowPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxConcurrent(1), courier.WithMaxWaiting(2),
			courier.WithBackoff(time.Hour, time.Hour))
		low := courier.ContextWithLowPriority(t.Context())
		var mu sync.Mutex
		var order []string
		fetch := func(name string) fetchFunc {
			return func(context.Context) (int, error) {
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				time.Sleep(time.Second)
				return 7, nil
			}
		}
		var wg sync.WaitGroup
		do := func(ctx context.Context, key string) {
			wg.Go(func() {
				_, _, err := c.Do(ctx, key, fetch(key))
				assert.NoError(t, err)
			})
			synctest.Wait()
		}
		do(t.Context(), "holder")
		do(low, "low 1")
		do(low, "low 2")
		do(low, "low 3")
		assert.Equal(t, 1, c.Stats().Waiting)
		do(t.Context(), "low 2") // an ordinary caller joins, so its priority is ordinary from now on
		overloaded(t, refusal(t, c, "miss"), "miss", courier.Waiting)
		time.Sleep(time.Second)
		synctest.Wait()
		do(t.Context(), "miss")
		wg.Wait()
		assert.Equal(t, []string{"holder", "low 2", "miss", "low 1", "low 3"}, order)

		_, _, err := c.Do(low, "key", failing(errBoom))
		assert.Equal(t, errBoom, err)
		works(t, c, "key") // the flight had no ordinary caller, so the key does not rest
		rest(t, c, "key")
		_, _, err = c.Do(low, "key", value(7))
		assert.ErrorIs(t, err, errBoom, "the key backs off for all callers")
		still(t, c.Stats())
	})
}

// Printing or comparing a context while its flight goes on is no race, and shows nothing of the
// flight.
func TestPrintingAContextIsNoRace(t *testing.T) {
	c := courier.New[string, int]()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
				for range 50 {
					assert.Equal(t, "courier.Flight(key)", fmt.Sprint(ctx))
					assert.NotContains(t, fmt.Sprintf("%#v", ctx), "waiters")
					assert.ObjectsAreEqual(ctx, context.Background())
				}
				return 7, nil
			})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
}

// A context that is kept does not keep the value that the function returned.
func TestKeptContextDoesNotKeepTheValue(t *testing.T) {
	type big [1 << 16]byte
	var c courier.Courier[string, *big]
	var kept []context.Context
	seen := make([]weak.Pointer[big], 10)
	for i := range seen {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				v, _, err := c.Do(t.Context(), strconv.Itoa(i), func(ctx context.Context) (*big, error) {
					kept = append(kept, ctx, courier.Detach(ctx))
					time.Sleep(time.Millisecond) // some join, or not
					return new(big), nil
				})
				assert.NoError(t, err)
				seen[i] = weak.Make(v)
			})
			wg.Wait()
		}
	}
	held := func() (n int) {
		for _, p := range seen {
			if p.Value() != nil {
				n++
			}
		}
		return n
	}
	for i := 0; i < 100 && held() > 0; i++ {
		runtime.GC()
	}
	assert.Zero(t, held())
	runtime.KeepAlive(kept)
}

// A fetch whose many linked children each make a nested call takes time in proportion to their
// number. With 20,000 of them it once took 2·10⁸ comparisons under one lock.
func BenchmarkManyNestedCalls(b *testing.B) {
	for _, n := range []int{1000, 10_000, 20_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				c := courier.New[int, int]()
				_, _, err := c.Do(b.Context(), -1, func(ctx context.Context) (int, error) {
					var wg sync.WaitGroup
					wg.Add(n)
					gate := make(chan struct{})
					for i := range n {
						courier.Go(ctx, func(ctx context.Context) error {
							defer wg.Done()
							_, _, err := c.Do(ctx, i, func(context.Context) (int, error) { <-gate; return 0, nil })
							return err
						})
					}
					close(gate)
					wg.Wait()
					return 0, nil
				})
				if err != nil && !errors.Is(err, context.Canceled) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/child")
		})
	}
}
