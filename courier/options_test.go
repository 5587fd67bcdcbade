package courier_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

func TestOptionsOutOfRange(t *testing.T) {
	for _, tc := range []struct {
		option courier.Option
		want   string
		value  any
	}{
		{courier.WithTimeout(-1), "courier: WithTimeout: -1ns: want 0 (none) or more", time.Duration(-1)},
		{courier.WithMaxConcurrent(-2), "courier: WithMaxConcurrent: -2: want 0 (no limit) or more", -2},
		{courier.WithQueueWait(-time.Second), "courier: WithQueueWait: -1s: want 0 (no bound) or more",
			-time.Second},
		{courier.WithMaxWaiting(-1), "courier: WithMaxWaiting: -1: want 0 (no limit) or more", -1},
		{courier.WithMaxAbandoned(0, 1), "courier: WithMaxAbandoned: 0: want 1 or more per key", 0},
		{courier.WithMaxAbandoned(1, -3), "courier: WithMaxAbandoned: -3: want 1 or more in all", -3},
		{courier.WithBackoff(0, time.Second), "courier: WithBackoff: 0s: want a shortest rest above 0",
			time.Duration(0)},
		{courier.WithBackoff(time.Minute, time.Second),
			"courier: WithBackoff: 1s: want a longest rest no less than the shortest", time.Second},
	} {
		t.Run(tc.want, func(t *testing.T) {
			err := courier.Validate(courier.WithTimeout(time.Second), tc.option)
			var e *courier.OptionError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, tc.value, e.Value)
			assert.EqualError(t, err, tc.want)
			assert.PanicsWithError(t, tc.want, func() { courier.New[string, int](tc.option) })
		})
	}
}

func TestOptionsInRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := []courier.Option{
			courier.WithTimeout(0), courier.WithMaxConcurrent(0), courier.WithQueueWait(0),
			courier.WithMaxWaiting(0),
			courier.WithMaxAbandoned(1, 1), courier.WithBackoff(1, 1),
		}
		require.NoError(t, courier.Validate())
		require.NoError(t, courier.Validate(all...))
		c := courier.New[string, int](all...)
		h := callers(t, c, 100, "key", 0, sleeps(1000*time.Hour)) // no limit applies
		for _, o := range h.wait() {
			assert.Equal(t, outcome{value: 7, shared: true, after: 1000 * time.Hour}, o)
		}
		// The largest values are valid.
		const ever = 1<<63 - 1
		c = courier.New[string, int](courier.WithTimeout(ever), courier.WithQueueWait(ever),
			courier.WithMaxConcurrent(1), courier.WithBackoff(ever, ever))
		works(t, c, "key")
		rest(t, c, "bad")
	})
}
