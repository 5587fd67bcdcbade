package pace

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestDue(t *testing.T) {
	require.Zero(t, Due(0, 3))
	require.Equal(t, 333333333*time.Nanosecond, Due(1, 3))
	require.Equal(t, 666666667*time.Nanosecond, Due(2, 3))
	require.Equal(t, time.Hour, Due(3*3600, 3))
}

func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start()
		var due, at []time.Duration
		for d := range c.Open(t.Context(), 10, 0, time.Second/2) {
			due, at = append(due, d), append(at, c.Now())
			if d == 100*time.Millisecond {
				time.Sleep(250 * time.Millisecond) // operations that are due meanwhile are late
			}
		}
		ms := func(n ...int) (list []time.Duration) {
			for _, x := range n {
				list = append(list, time.Duration(x)*time.Millisecond)
			}
			return list
		}
		require.Equal(t, ms(0, 100, 200, 300, 400), due)
		require.Equal(t, ms(0, 100, 350, 350, 400), at)
		for from, first := range map[time.Duration]int{-time.Second: 0, 349 * time.Millisecond: 3,
			351 * time.Millisecond: 4} {
			for d := range c.Open(t.Context(), 10, from, time.Second) {
				require.Equal(t, ms(100 * first)[0], d)
				break
			}
		}
	})
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start()
		var at []time.Duration
		const ms = time.Millisecond
		for x := range c.Every(t.Context(), 10*ms, 5*ms, 60*ms) {
			require.Equal(t, x, c.Now())
			if at = append(at, x); x == 20*ms {
				time.Sleep(25 * ms)
			}
		}
		require.Equal(t, []time.Duration{5 * ms, 10 * ms, 20 * ms, 50 * ms, 60 * ms}, at)
	})
}

func TestTheEndOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		time.AfterFunc(150*time.Millisecond, func() { cancel(why) })
		c := Start()
		require.Len(t, slices.Collect(c.Open(ctx, 10, 0, time.Hour)), 2)
		require.Equal(t, 150*time.Millisecond, c.Now())
		require.Equal(t, why, c.Until(ctx, time.Hour))
		require.Equal(t, why, c.Until(ctx, 0), "it has ended")
		require.NoError(t, Sleep(t.Context(), -1))
		require.NoError(t, c.Until(t.Context(), time.Second))
		require.Equal(t, time.Second, c.Now())
	})
}
