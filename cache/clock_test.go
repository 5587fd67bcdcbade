package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func (k *clock) keeping() bool { return k.rough.Load() != 0 }

// While hits are many the clock is kept by a goroutine, and is late by no more
// than it may be; when they cease the goroutine ends and the clock is exact.
func TestClock(t *testing.T) {
	for _, may := range []time.Duration{0, 10 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			c, err := New(Options[int, int]{TTL: time.Second, ClockError: may})
			require.NoError(t, err)
			if may == 0 {
				may = DefaultClockError
			}
			begin := time.Now()
			c.Set(1, 1)
			for {
				_, ok := c.Get(1)
				age := time.Since(begin)
				if !ok {
					require.GreaterOrEqual(t, age, time.Second)
					break
				}
				require.Less(t, age, time.Second+may)
				if age > 100*time.Millisecond {
					require.True(t, c.clock.keeping(), "at 100,000 hits a second")
				}
				time.Sleep(10 * time.Microsecond)
			}
			time.Sleep(restAfter * may)
			synctest.Wait()
			require.False(t, c.clock.keeping(), "nobody asks")
			for range 3 {
				c.Set(1, 1)
				time.Sleep(time.Second - 1)
				_, ok := c.Get(1)
				require.True(t, ok)
				time.Sleep(time.Nanosecond)
				_, ok = c.Get(1)
				require.False(t, ok, "few hits: exact")
			}
			require.NoError(t, c.Close())
		})
	}
}

// Few hits, or a negative ClockError, start no goroutine.
func TestClockIsExact(t *testing.T) {
	for _, tt := range []struct {
		may, between time.Duration
	}{{0, time.Millisecond}, {-1, time.Nanosecond}} {
		synctest.Test(t, func(t *testing.T) {
			c, err := New(Options[int, int]{TTL: time.Hour, ClockError: tt.may})
			require.NoError(t, err)
			c.Set(1, 1)
			for range 10 * watchEvery {
				c.Get(1)
				require.False(t, c.clock.keeping())
				time.Sleep(tt.between)
			}
			require.NoError(t, c.Close())
		})
	}
}

// A goroutine that does not get its turn is made up for by the hits.
func TestClockThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stripe
		k := clock{base: time.Now(), maxError: time.Millisecond, hits: func() uint64 { return 0 }}
		time.Sleep(time.Second)
		k.rough.Store(k.now() - int64(time.Millisecond))
		k.watch(&s)
		require.Equal(t, k.now()-int64(time.Millisecond), k.roughly(), "late enough to be let be")
		time.Sleep(time.Nanosecond)
		k.watch(&s)
		require.Equal(t, k.now(), k.roughly())
		k.forward(k.now() - 5)
		require.Equal(t, k.now(), k.roughly(), "never back")
	})
}

// After stop there is no goroutine, and none starts.
func TestClockStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stripe
		k := clock{base: time.Now(), maxError: time.Millisecond, hits: func() uint64 { return 0 }}
		k.start()
		k.start()
		require.True(t, k.keeping() && k.running)
		k.stop()
		k.stop()
		require.False(t, k.keeping() || k.running)
		time.Sleep(time.Nanosecond)
		for range 5 {
			k.watch(&s)
		}
		require.False(t, k.keeping() || k.running)
	})
}
