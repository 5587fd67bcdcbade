package courier_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

// refused asserts that a call for key gets target at once, without a call of
// its function.
func refused(t *testing.T, c *courier.Courier[string, int], key string, target error) {
	t.Helper()
	assert.ErrorIs(t, refusal(t, c, key), target)
}

// refusal returns the error that a call for key gets at once.
func refusal(t *testing.T, c *courier.Courier[string, int], key string) error {
	t.Helper()
	before := c.Stats()
	start := time.Now()
	_, shared, err := c.Do(t.Context(), key, func(context.Context) (int, error) {
		t.Error("called")
		return 0, nil
	})
	assert.Error(t, err)
	assert.False(t, shared)
	assert.Zero(t, time.Since(start))
	assert.Equal(t, before.Started, c.Stats().Started)
	return err
}

func TestAbandonedFunctionsOfAKeyAreBounded(t *testing.T) {
	for _, bound := range []int{0, 1, 3} { // 0: the default
		t.Run(strconv.Itoa(bound), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := []courier.Option{courier.WithTimeout(time.Second)}
				if bound == 0 {
					bound = courier.DefaultMaxAbandonedPerKey
				} else {
					opts = append(opts, courier.WithMaxAbandoned(bound, 1000))
				}
				c := courier.New[string, int](opts...)
				release := make(chan chan struct{})
				hang := func(context.Context) (int, error) { <-<-release; return 0, nil }
				for range bound {
					assert.ErrorIs(t, callers(t, c, 1, "bad", 0, hang).one().err, courier.ErrTimeout)
				}
				err := refusal(t, c, "bad")
				assert.ErrorIs(t, err, courier.ErrOverloaded)
				assert.Contains(t, err.Error(), "of this key")
				works(t, c, "good")
				assert.EqualValues(t, 1, c.Stats().Overloads)
				assert.Equal(t, bound, c.Stats().Abandoned)

				open := make(chan struct{})
				close(open)
				release <- open // one of them ends
				synctest.Wait()
				works(t, c, "bad")
				for range bound - 1 {
					release <- open
				}
				synctest.Wait()
				still(t, c.Stats())
				assert.EqualValues(t, bound, c.Stats().AbandonedTotal)
			})
		})
	}
}

func TestAbandonedFunctionsInAllAreBounded(t *testing.T) {
	for _, bound := range []int{0, 1, 5} {
		t.Run(strconv.Itoa(bound), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := []courier.Option{courier.WithTimeout(time.Second)}
				if bound == 0 {
					bound = courier.DefaultMaxAbandoned
				} else {
					opts = append(opts, courier.WithMaxAbandoned(1000, bound))
				}
				c := courier.New[string, int](opts...)
				gate, release := make(chan struct{}), make(chan struct{})
				going := callers(t, c, 1, "going", 0, func(context.Context) (int, error) {
					<-gate
					return 7, nil
				})
				for i := range bound {
					go func() {
						_, _, err := c.Do(t.Context(), strconv.Itoa(i), deaf(release))
						assert.ErrorIs(t, err, courier.ErrTimeout)
					}()
				}
				time.Sleep(time.Second - 1)
				joined := callers(t, c, 1, "going", 0, nil)
				close(gate)
				assert.Equal(t, 7, going.one().value)
				assert.Equal(t, 7, joined.one().value)
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				err := refusal(t, c, "good")
				assert.ErrorIs(t, err, courier.ErrOverloaded)
				assert.NotContains(t, err.Error(), "of this key")
				close(release)
				synctest.Wait()
				works(t, c, "good")
				still(t, c.Stats())
			})
		})
	}
}

func TestMaxWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithMaxWaiting(3))
		gate := make(chan struct{})
		fetch := func(context.Context) (int, error) { <-gate; return 7, nil }
		two := callers(t, c, 2, "a", 0, fetch)
		short := callers(t, c, 1, "b", time.Second, fetch)
		refused(t, c, "a", courier.ErrOverloaded)
		err := refusal(t, c, "c")
		assert.ErrorIs(t, err, courier.ErrOverloaded)
		assert.Contains(t, err.Error(), "too many callers")
		assert.Equal(t, 3, c.Stats().Waiting)
		assert.EqualValues(t, 2, c.Stats().Overloads)

		assert.ErrorIs(t, short.one().err, context.DeadlineExceeded)
		works(t, c, "c") // one has left
		close(gate)
		two.wait()
		synctest.Wait()
		works(t, c, "a")
		still(t, c.Stats())
	})
}

// Goroutines that only wait for a processor are not stuck. Here the children never get one, since
// caller and flight hand the only processor to each other.
func TestStarvingIsNotStuck(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	c := courier.New[string, int](courier.WithMaxAbandoned(1, 1))
	for range 1000 {
		_, _, err := c.Do(t.Context(), "key", func(ctx context.Context) (int, error) {
			courier.Go(ctx, func(context.Context) error { return nil })
			return 7, nil
		})
		if !assert.NoError(t, err) {
			break
		}
	}
	assert.NoError(t, c.Shutdown(t.Context()))
	still(t, c.Stats())
}
