package courier_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

// Most tests run in a bubble of testing/synctest. Its time stands still while any goroutine can
// run, so "at once" is a duration of 0, and a time-out is exact to the nanosecond. A caller that
// hangs, or a goroutine that remains, fails the test.

type fetchFunc = func(context.Context) (int, error)

// An outcome holds the results of one caller.
type outcome struct {
	value  int
	shared bool
	err    error
	after  time.Duration
}

// A herd is a number of callers that wait for one key.
type herd struct {
	wg       sync.WaitGroup
	outcomes []outcome
}

// callers calls Do in n goroutines, and returns when all of them wait (or have
// returned). within is each caller's deadline; 0 means none.
func callers(
	t *testing.T, c *courier.Courier[string, int], n int, key string, within time.Duration,
	fetch fetchFunc,
) *herd {
	t.Helper()
	h := &herd{outcomes: make([]outcome, n)}
	start := time.Now()
	for i := range n {
		h.wg.Go(func() {
			ctx := context.Background()
			if within > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, within)
				defer cancel()
			}
			o := &h.outcomes[i]
			o.value, o.shared, o.err = c.Do(ctx, key, fetch)
			o.after = time.Since(start)
		})
	}
	synctest.Wait()
	return h
}

// wait returns the outcome of each caller.
func (h *herd) wait() []outcome {
	h.wg.Wait()
	return h.outcomes
}

// one returns the outcome of the caller of a herd of one.
func (h *herd) one() outcome { return h.wait()[0] }

// works asserts that a fresh fetch for key gives its value.
func works(t *testing.T, c *courier.Courier[string, int], key string) {
	t.Helper()
	v, _, err := c.Do(t.Context(), key, value(4711))
	assert.NoError(t, err)
	assert.Equal(t, 4711, v)
}

// still asserts that nothing is under way.
func still(t *testing.T, s courier.Stats) {
	t.Helper()
	assert.Zero(t, s.InFlight, "in flight")
	assert.Zero(t, s.Waiting, "waiting")
	assert.Zero(t, s.Abandoned, "abandoned")
}

func value(v int) fetchFunc { return func(context.Context) (int, error) { return v, nil } }

func failing(err error) fetchFunc { return func(context.Context) (int, error) { return 0, err } }

// deaf returns a function that waits for ch and ignores the end of its context.
func deaf(ch <-chan struct{}) fetchFunc {
	return func(context.Context) (int, error) { <-ch; return -1, nil }
}
