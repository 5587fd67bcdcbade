package courier_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// rest makes a fetch for key fail, and returns the back-off that follows.
func rest(t *testing.T, c *courier.Courier[string, int], key string) time.Duration {
	t.Helper()
	_, _, err := c.Do(t.Context(), key, failing(errBoom))
	require.Equal(t, errBoom, err, "the failure itself is returned unwrapped")
	var b *courier.BackoffError
	err = refusal(t, c, key)
	require.ErrorAs(t, err, &b)
	assert.ErrorIs(t, err, errBoom)
	assert.Equal(t, errBoom, b.Err)
	return time.Until(b.Until)
}

func TestBackoffDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithBackoff(time.Second, 10*time.Second))
		for i, seconds := range []int{1, 2, 4, 8, 10, 10, 10} {
			full := time.Duration(seconds) * time.Second
			d := rest(t, c, "key")
			assert.GreaterOrEqual(t, d, full/2, "failure %d", i+1)
			assert.LessOrEqual(t, d, full, "failure %d", i+1)
			time.Sleep(d - 1)
			err := refusal(t, c, "key")
			assert.ErrorIs(t, err, errBoom)
			assert.Contains(t, err.Error(), "backs off until")
			works(t, c, "another")
			time.Sleep(time.Nanosecond) // now the key may be tried again
		}
		s := c.Stats()
		assert.EqualValues(t, 14, s.BackedOff)
		still(t, s)
	})
}

func TestBackoffIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithBackoff(time.Second, time.Second))
		shortest, longest := time.Hour, time.Duration(0)
		for i := range 200 {
			d := rest(t, c, strconv.Itoa(i))
			shortest, longest = min(shortest, d), max(longest, d)
		}
		assert.GreaterOrEqual(t, shortest, time.Second/2)
		assert.Less(t, shortest, 6*time.Second/10) // missed once in 10^19 runs
		assert.Greater(t, longest, 9*time.Second/10)
		assert.LessOrEqual(t, longest, time.Second)
	})
}

func TestBackoffEnds(t *testing.T) {
	const longest = time.Minute
	for name, end := range map[string]func(*testing.T, *courier.Courier[string, int]){
		"by a success": func(t *testing.T, c *courier.Courier[string, int]) {
			time.Sleep(4 * time.Second)
			works(t, c, "key")
		},
		"by Forget":    func(_ *testing.T, c *courier.Courier[string, int]) { c.Forget("key") },
		"by ForgetAll": func(_ *testing.T, c *courier.Courier[string, int]) { c.ForgetAll() },
		"by a long quiet": func(*testing.T, *courier.Courier[string, int]) {
			time.Sleep(longest + 4*time.Second + 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int](courier.WithBackoff(time.Second, longest))
				for range 3 {
					time.Sleep(rest(t, c, "key"))
				}
				rest(t, c, "key") // up to 8 s
				time.Sleep(4 * time.Second)
				end(t, c)
				assert.LessOrEqual(t, rest(t, c, "key"), time.Second, "it starts again")
			})
		})
	}
}

// The back-off stays at its maximum, however often a key fails.
func TestBackoffDoesNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Shifted 31 times, this is 2 s more than 64 bits hold.
		c := courier.New[string, int](courier.WithBackoff(1<<33+1, time.Hour))
		for i := range 80 {
			d := rest(t, c, "key")
			if i >= 10 {
				require.GreaterOrEqual(t, d, time.Hour/2, "failure %d", i+1)
			}
			require.LessOrEqual(t, d, time.Hour)
			time.Sleep(d)
		}
	})
}

func TestWhatIsAFailure(t *testing.T) {
	for _, tc := range []struct {
		name   string
		within time.Duration
		fetch  fetchFunc
		want   error // nil: no failure
	}{
		{"error", 0, failing(errBoom), errBoom},
		{"panic", 0, func(context.Context) (int, error) { panic(errBoom) }, errBoom},
		{"child", 0, func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(context.Context) error { return errBoom })
			<-ctx.Done()
			return 0, nil
		}, errBoom},
		{"time-out", 0, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil },
			courier.ErrTimeout},
		{"callers left", time.Second, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, errBoom
		}, nil},
		{"no turn", 0, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[string, int](
					courier.WithBackoff(time.Hour, time.Hour),
					courier.WithTimeout(3*time.Second),
					courier.WithMaxConcurrent(1),
					courier.WithQueueWait(time.Second),
				)
				if tc.fetch == nil {
					callers(t, c, 1, "holder", 0, sleeps(2*time.Second))
				}
				assert.Error(t, callers(t, c, 1, "key", tc.within, tc.fetch).one().err)
				time.Sleep(5 * time.Second)
				if tc.want == nil {
					works(t, c, "key")
				} else {
					refused(t, c, "key", tc.want)
				}
			})
		})
	}
}

// The failure of a flight that was forgotten starts no back-off.
func TestForgottenFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithBackoff(time.Hour, time.Hour))
		old := callers(t, c, 1, "key", 0, func(context.Context) (int, error) {
			time.Sleep(time.Second)
			return 0, errBoom
		})
		c.Forget("key")
		assert.ErrorIs(t, old.one().err, errBoom)
		works(t, c, "key")

		// Nor does its success end the back-off of a later failure.
		old = callers(t, c, 1, "key", 0, sleeps(time.Second))
		c.Forget("key")
		rest(t, c, "key")
		assert.NoError(t, old.one().err)
		refused(t, c, "key", errBoom)
	})
}

func TestBackoffMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 10_000
		c := courier.New[int, int](courier.WithBackoff(time.Hour, time.Hour))
		fails := func(key int) bool {
			_, _, err := c.Do(t.Context(), key, failing(errBoom))
			return err == errBoom //nolint:errorlint // a BackoffError wraps it
		}
		for key := range 2 * bound {
			require.True(t, fails(key))
		}
		// Each shard has its part of the bound, so the total is not exact.
		var resting, old int
		for key := range 2 * bound {
			if !fails(key) {
				resting++
				if key < bound/2 {
					old++
				}
			}
		}
		assert.Zero(t, old, "keys that failed longest ago were forgotten")
		assert.LessOrEqual(t, resting, bound)
	})
}
