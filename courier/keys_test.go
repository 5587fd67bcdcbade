package courier_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

// NaN does not equal itself, so its flights can't be joined, and must leave no state.
func TestKeysThatDoNotEqualThemselves(t *testing.T) {
	keys := map[string]any{
		"NaN":             math.NaN(),
		"NaN in a struct": struct{ f float64 }{math.NaN()},
		"not even hashable": struct {
			f float64
			v any
		}{math.NaN(), []int{}},
	}
	for name, key := range keys {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := courier.New[any, int](courier.WithTimeout(time.Second), courier.WithMaxAbandoned(1, 2))
				for range 2 { // the bound per key does not apply
					_, shared, err := c.Do(t.Context(), key, func(ctx context.Context) (int, error) {
						time.Sleep(time.Minute)
						return 0, ctx.Err()
					})
					assert.ErrorIs(t, err, courier.ErrTimeout)
					assert.False(t, shared)
				}
				assert.Equal(t, 2, c.Stats().Abandoned)
				_, _, err := c.Do(t.Context(), key, func(context.Context) (int, error) { return 0, nil })
				assert.ErrorIs(t, err, courier.ErrOverloaded)
				c.Forget(key)
				time.Sleep(time.Hour)
				still(t, c.Stats())

				// Shutdown finds a flight that a lookup of its key does not find.
				got := make(chan error)
				go func() {
					_, _, err := c.Do(t.Context(), key, func(ctx context.Context) (int, error) {
						<-ctx.Done()
						return 0, nil
					})
					got <- err
				}()
				synctest.Wait()
				assert.Equal(t, 1, c.Stats().InFlight)
				go func() { assert.NoError(t, c.Shutdown(t.Context())) }()
				assert.ErrorIs(t, <-got, courier.ErrClosed)
				synctest.Wait()
				still(t, c.Stats())
			})
		})
	}
}

func TestUncomparableKeyPanicsInItsCaller(t *testing.T) {
	var c courier.Courier[any, int]
	assert.Panics(t, func() {
		_, _, err := c.Do(t.Context(), []int{1}, func(context.Context) (int, error) { return 0, nil })
		t.Error("Do returned", err)
	})
	v, _, err := c.Do(t.Context(), 1, func(context.Context) (int, error) { return 7, nil })
	assert.NoError(t, err, "no lock is still held")
	assert.Equal(t, 7, v)
	assert.Equal(t, courier.Stats{Started: 1}, c.Stats())
}

// The types of an interface's values are part of the key.
func TestInterfaceKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[any, int]
		gate := make(chan struct{})
		for _, key := range []any{1, int64(1), "1", nil, struct{}{}} {
			go func() {
				_, shared, err := c.Do(t.Context(), key, func(context.Context) (int, error) {
					<-gate
					return 0, nil
				})
				assert.NoError(t, err)
				assert.False(t, shared)
			}()
		}
		synctest.Wait()
		assert.Equal(t, 5, c.Stats().InFlight)
		close(gate)
		synctest.Wait() // t.Context ends with this function
	})
}
