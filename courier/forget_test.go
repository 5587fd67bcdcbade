package courier_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

func TestForgetStartsAfresh(t *testing.T) {
	for name, forget := range map[string]func(*courier.Courier[string, int]){
		"Forget":    func(c *courier.Courier[string, int]) { c.Forget("key") },
		"ForgetAll": func(c *courier.Courier[string, int]) { c.ForgetAll() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c courier.Courier[string, int]
				forget(&c) // without a flight it does nothing
				gates := make([]chan struct{}, 3)
				herds := make([]*herd, 3)
				for i := range herds {
					gates[i] = make(chan struct{})
					herds[i] = callers(t, &c, 2, "key", 0, func(context.Context) (int, error) {
						<-gates[i]
						return i, nil
					})
					if i < 2 {
						forget(&c)
						forget(&c)
					}
				}
				assert.Equal(t, courier.Stats{Started: 3, Joined: 3, InFlight: 3, Waiting: 6}, c.Stats())
				other := callers(t, &c, 1, "other", 0, func(context.Context) (int, error) {
					<-gates[2]
					return 9, nil
				})

				close(gates[0]) // a forgotten flight goes on, and its end does not affect the key
				for _, o := range herds[0].wait() {
					assert.Equal(t, outcome{value: 0, shared: true}, o)
				}
				late := callers(t, &c, 1, "key", 0, nil)
				close(gates[2])
				for _, o := range append(herds[2].wait(), late.wait()...) {
					assert.Equal(t, outcome{value: 2, shared: true}, o)
				}
				assert.Equal(t, 9, other.one().value)
				works(t, &c, "key")
				close(gates[1])
				for _, o := range herds[1].wait() {
					assert.Equal(t, outcome{value: 1, shared: true}, o)
				}
				assert.Equal(t, courier.Stats{Started: 5, Joined: 4}, c.Stats())
			})
		})
	}
}

// A forgotten flight is cancelled like any other when its last caller leaves.
func TestForgottenFlightIsDeserted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		old := callers(t, &c, 2, "key", time.Second, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, nil
		})
		c.Forget("key")
		fresh := callers(t, &c, 1, "key", 0, sleeps(2*time.Second))
		for _, o := range old.wait() {
			assert.ErrorIs(t, o.err, context.DeadlineExceeded)
		}
		assert.Equal(t, outcome{value: 7, after: 2 * time.Second}, fresh.one())
		assert.Equal(t, courier.Stats{Started: 2, Joined: 1, Late: 1, Deserted: 1, AbandonedTotal: 1},
			c.Stats())
	})
}

// Forget ends the back-off of a failing key, but does not lift the bound of a stuck one.
func TestForgetDoesNotLiftTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithTimeout(time.Second), courier.WithMaxAbandoned(1, 10))
		release := make(chan struct{})
		assert.ErrorIs(t, callers(t, c, 1, "key", 0, deaf(release)).one().err, courier.ErrTimeout)
		c.Forget("key")
		refused(t, c, "key", courier.ErrOverloaded)
		close(release)
		synctest.Wait()
		works(t, c, "key")
	})
}

// The courier works after a burst of keys that makes it replace its map.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c courier.Courier[string, int]
		const keys = 3000
		for round := range 2 {
			gate := make(chan struct{})
			for i := range keys {
				go func() {
					v, _, err := c.Do(t.Context(), strconv.Itoa(i), func(context.Context) (int, error) {
						<-gate
						return i, nil
					})
					assert.NoError(t, err)
					assert.Equal(t, i, v)
				}()
			}
			synctest.Wait()
			assert.Equal(t, keys, c.Stats().InFlight)
			if round == 1 {
				c.ForgetAll()
			}
			close(gate)
			synctest.Wait()
			still(t, c.Stats())
			works(t, &c, "1")
		}
	})
}
