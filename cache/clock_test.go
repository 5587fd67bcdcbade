package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func (k *clock) keeping() bool { return k.coarse.Load() != 0 }

// While there are many hits, a goroutine advances the clock, which is late by no more than its
// bound. When the hits cease, the goroutine ends and the clock is exact.
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
			time.Sleep(ticksPerRateCheck * may)
			synctest.Wait()
			require.False(t, c.clock.keeping(), "without hits")
			for range 3 {
				c.Set(1, 1)
				time.Sleep(time.Second - 1)
				_, ok := c.Get(1)
				require.True(t, ok)
				time.Sleep(time.Nanosecond)
				_, ok = c.Get(1)
				require.False(t, ok, "with few hits the clock is exact")
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
			for range 10 * lookEvery {
				c.Get(1)
				require.False(t, c.clock.keeping())
				time.Sleep(tt.between)
			}
			require.NoError(t, c.Close())
		})
	}
}

// If the goroutine does not run, the hits advance the clock.
func TestClockThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stripe
		k := clock{base: time.Now(), maxError: time.Millisecond, hits: func() uint64 { return 0 }}
		time.Sleep(time.Second)
		k.coarse.Store(k.now() - int64(time.Millisecond))
		k.adapt(&s)
		require.Equal(t, k.now()-int64(time.Millisecond), k.approx(), "a small delay is not corrected")
		time.Sleep(time.Nanosecond)
		k.adapt(&s)
		require.Equal(t, k.now(), k.approx())
		k.advance(k.now() - 5)
		require.Equal(t, k.now(), k.approx(), "the clock does not go back")
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
			k.adapt(&s)
		}
		require.False(t, k.keeping() || k.running)
	})
}

// An entry's end is exact, although the clock that hits read is up to maxDelay late. If it is
// later, Get and Peek still agree.
func TestEndOfEntryWhileClockIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options[int, int]{TTL: time.Second})
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		c.sweeper.stop() // otherwise it would reclaim the entries
		for _, tt := range []struct {
			late time.Duration
			live bool
		}{{76 * time.Millisecond, false}, {maxDelay, false}, {maxDelay + 1, true}} {
			c.Set(1, 1)
			c.Get(1) // so that the next hit does not compare the clocks
			time.Sleep(time.Second)
			c.clock.coarse.Store(c.clock.now() - int64(tt.late))
			_, got := c.Get(1)
			require.Equal(t, tt.live, got, "Get, %v late", tt.late)
			_, ttl, peeked := c.Peek(1)
			require.Equal(t, tt.live, peeked, "Peek, %v late", tt.late)
			require.Equal(t, tt.live, ttl > 0)
			c.clock.coarse.Store(0)
		}
	})
}

// In a bubble, a cache that was made outside, as package-level ones are, uses the bubble's clock
// for TTLs. It starts no goroutine that the bubble would wait for, at any time of its own clock.
func TestCacheFromOutsideOfBubble(t *testing.T) {
	for name, o := range map[string]Options[int, int]{
		"TTL":     {TTL: time.Minute},
		"refresh": {TTL: time.Minute, RefreshAt: 0.8},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(o)
			require.NoError(t, err)
			defer func() { require.NoError(t, c.Close()) }()
			for _, coarse := range []int64{0, int64(time.Hour)} {
				synctest.Test(t, func(t *testing.T) {
					c.clock.coarse.Store(coarse)
					c.Set(1, 1)
					c.SetTTL(2, 2, 0)
					time.Sleep(time.Minute - 1)
					for range 3 * lookEvery {
						_, ok := c.Get(1)
						require.True(t, ok, "just before the TTL ends")
					}
					c.sweep()
					_, ttl, ok := c.Peek(1)
					require.True(t, ok)
					require.Equal(t, time.Nanosecond, ttl)
					time.Sleep(time.Nanosecond)
					_, ok = c.Get(1)
					require.False(t, ok, "the TTL has ended")
					_, ok = c.Get(2)
					require.True(t, ok, "the entry has no TTL")
					c.SetTTL(3, 3, time.Hour)
				})
				c.clock.coarse.Store(0)
				_, ok := c.Get(3)
				require.False(t, ok, "by the clock outside, the TTL ended long ago")
				require.NoError(t, c.Audit())
				c.Set(1, 1)
				_, ttl, ok := c.Peek(1)
				require.True(t, ok)
				require.Greater(t, ttl, time.Second)
			}
		})
	}
}
