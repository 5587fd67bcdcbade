package courier_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// A flight with one caller allocates itself and its goroutine's closure, and no channel.
func TestAFlightAllocatesNoChannel(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	var c courier.Courier[string, int]
	fetch := value(1)
	assert.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
		_, _, _ = c.Do(t.Context(), "key", fetch)
	}), 2.0)
}

// Callers that leave as their flights end leave no wake-up behind that another flight's caller
// would take for its own.
func TestLeavingCallersWakeNoOthers(t *testing.T) {
	var c courier.Courier[int, int]
	for i := range 2000 {
		ctx, leave := context.WithCancel(t.Context())
		_, _, _ = c.Do(ctx, i, func(context.Context) (int, error) {
			leave()
			if i%2 == 0 {
				runtime.Gosched()
			}
			return 0, nil
		})
		v, _, err := c.Do(t.Context(), -1-i, func(context.Context) (int, error) {
			for range i % 5 {
				runtime.Gosched()
			}
			return i + 1, nil
		})
		require.NoError(t, err)
		require.Equal(t, i+1, v, "the caller was woken before the flight was over")
	}
	for c.Stats().Abandoned > 0 {
		runtime.Gosched()
	}
}

// A caller in a bubble can join a flight that began outside, as of a courier which tests share.
func TestABubbleJoinsAFlightOfOutside(t *testing.T) {
	var c courier.Courier[string, int]
	for i := range 3 {
		release, began := make(chan struct{}), make(chan struct{})
		first := make(chan int)
		go func() {
			v, _, _ := c.Do(context.Background(), "key", func(context.Context) (int, error) {
				close(began)
				<-release
				return 1, nil
			})
			first <- v
		}()
		<-began
		go func() {
			for c.Stats().Joined <= uint64(i) { //nolint:gosec // small
				runtime.Gosched()
			}
			close(release)
		}()
		synctest.Test(t, func(t *testing.T) {
			v, shared, err := c.Do(t.Context(), "key", value(2))
			require.NoError(t, err)
			require.Equal(t, 1, v)
			require.True(t, shared)
		})
		require.Equal(t, 1, <-first)
	}
}

// The context of a function has one done channel, whether it is asked for before the end or after.
func TestDoneAfterTheEnd(t *testing.T) {
	var c courier.Courier[string, int]
	for _, before := range []bool{true, false} {
		var ctx context.Context
		var done <-chan struct{}
		_, _, err := c.Do(t.Context(), "key", func(of context.Context) (int, error) {
			if ctx = of; before {
				done = of.Done()
			}
			assert.NoError(t, of.Err())
			return 1, nil
		})
		require.NoError(t, err)
		if before {
			assert.Equal(t, done, ctx.Done())
		}
		<-ctx.Done()
		assert.ErrorIs(t, ctx.Err(), context.Canceled)
		derived, cancel := context.WithCancel(ctx)
		<-derived.Done()
		cancel()
	}
}
