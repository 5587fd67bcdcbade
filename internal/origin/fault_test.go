package origin

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Every fault has its documented effect, after the load's latency.
func TestFaults(t *testing.T) {
	const wait = 5 * time.Millisecond
	start := func(t *testing.T, c Config) *Origin {
		t.Helper()
		c.Latency = latency(t, "5ms")
		o := newOrigin(t, c)
		o.Start()
		return o
	}
	t.Run("error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			out := <-load(t.Context(), start(t, Config{Fault: always(FaultError)}), 9)
			require.ErrorIs(t, out.err, ErrInjected)
			require.EqualError(t, out.err, "origin: injected fault: error of key 9")
			require.Nil(t, out.value)
			require.Equal(t, wait, out.took)
		})
	})
	t.Run("panic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := start(t, Config{Fault: always(FaultPanic)})
			out := <-load(t.Context(), o, 9)
			err, ok := out.panicked.(error)
			require.True(t, ok, "panics with an error")
			require.ErrorIs(t, err, ErrInjected)
			require.Equal(t, wait, out.took)
			require.Equal(t, Stats{Loads: 1, Faults: 1, Peak: 1}, o.Stats(),
				"a load that panics is counted as ended")
		})
	})
	t.Run("goexit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := start(t, Config{Fault: always(FaultGoexit)})
			out := <-load(t.Context(), o, 9)
			require.True(t, out.goexit)
			require.Nil(t, out.panicked)
			require.Zero(t, o.Stats().InProgress)
		})
	})
	t.Run("hang", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := start(t, Config{Fault: always(FaultHang), Concurrency: 1})
			ctx, cancel := context.WithCancel(t.Context())
			done := load(ctx, o, 9)
			time.Sleep(wait)
			synctest.Wait() // otherwise the end of the latency and that of the context would race
			cancel()
			time.Sleep(time.Hour)
			synctest.Wait()
			require.Equal(t, Stats{Loads: 1, Faults: 1, InProgress: 1, Peak: 1, Hanging: 1}, o.Stats(),
				"deaf to its context")
			second := load(t.Context(), o, 10)
			time.Sleep(wait)
			synctest.Wait()
			require.Equal(t, 2, o.Stats().Hanging, "a load that hangs keeps no place")
			require.NoError(t, o.Close())
			require.ErrorIs(t, (<-done).err, ErrClosed)
			require.ErrorIs(t, (<-second).err, ErrClosed)
			require.Zero(t, o.Stats().Hanging)
		})
	})
	t.Run("child", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			type key struct{}
			ctx := context.WithValue(t.Context(), key{}, "the fetch's own")
			died := make(chan any, 1)
			o := start(t, Config{Fault: always(FaultChild),
				Go: func(ctx context.Context, f func(context.Context) error) {
					require.Equal(t, "the fetch's own", ctx.Value(key{}))
					go func() {
						defer func() { died <- recover() }()
						if err := f(ctx); err != nil {
							t.Error("the child returned", err)
						}
					}()
				}})
			done := load(ctx, o, 9)
			err, ok := (<-died).(error)
			require.True(t, ok)
			require.ErrorIs(t, err, ErrInjected)
			synctest.Wait()
			require.Equal(t, 1, o.Stats().Hanging, "the load goes on waiting for its child")
			require.NoError(t, o.Close())
			require.ErrorIs(t, (<-done).err, ErrClosed)
		})
	})
	t.Run("slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fault := always(FaultSlow)
			fault.Slow = 2 * time.Second
			o := start(t, Config{Fault: fault})
			out := <-load(t.Context(), o, 9)
			require.NoError(t, out.err)
			require.NoError(t, o.Check(9, out.value))
			require.Equal(t, wait+2*time.Second, out.took)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			out = <-load(ctx, o, 9)
			require.ErrorIs(t, out.err, context.DeadlineExceeded)
			require.Equal(t, time.Second, out.took)
		})
	})
	t.Run("slow by default", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			out := <-load(t.Context(), start(t, Config{Fault: always(FaultSlow)}), 9)
			require.Equal(t, wait+DefaultSlow, out.took)
		})
	})
}

func TestFaultWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, Config{Fault: Fault{Kind: FaultError, Rate: 1, Start: 2 * time.Second,
			End: 5 * time.Second}})
		fails := func() bool {
			_, err := o.Load(t.Context(), 1)
			return err != nil
		}
		time.Sleep(3 * time.Second)
		require.False(t, fails(), "before Start")
		o.Start()
		for _, tt := range []struct {
			at   time.Duration
			want bool
		}{
			{0, false},
			{2*time.Second - 1, false},
			{2 * time.Second, true},
			{5*time.Second - 1, true},
			{5 * time.Second, false},
			{time.Hour, false},
		} {
			time.Sleep(tt.at - time.Since(*o.start.Load()))
			require.Equal(t, tt.want, fails(), "%v after Start", tt.at)
		}
		o.Start()
		time.Sleep(2 * time.Second)
		require.True(t, fails(), "a second Start moves the window")
	})
}

// schedule reports for each of n loads of each key whether it fails.
func schedule(t *testing.T, seed uint64, rate float64, n int, keys ...uint64) map[uint64][]bool {
	t.Helper()
	o := newOrigin(t, Config{Seed: seed, Fault: Fault{Kind: FaultError, Rate: rate}})
	o.Start()
	got := make(map[uint64][]bool)
	for range n {
		for _, k := range keys {
			_, err := o.Load(t.Context(), k)
			got[k] = append(got[k], err != nil)
		}
	}
	return got
}

func TestFaultScheduleIsSettledByTheSeed(t *testing.T) {
	a := schedule(t, 1, 0.5, 100, 1, 2, 3)
	b := schedule(t, 1, 0.5, 100, 3, 9, 2, 8, 1) // in another order, among other keys
	for _, k := range []uint64{1, 2, 3} {
		require.Equal(t, a[k], b[k])
	}
	require.NotEqual(t, a[1], a[2])
	require.NotEqual(t, a, schedule(t, 2, 0.5, 100, 1, 2, 3))
}

func TestStartBeginsTheScheduleAnew(t *testing.T) {
	o := newOrigin(t, Config{Seed: 1, Fault: Fault{Kind: FaultError, Rate: 0.5}})
	var runs [2][]bool
	for i := range runs {
		o.Start()
		for range 50 {
			_, err := o.Load(t.Context(), 1)
			runs[i] = append(runs[i], err != nil)
		}
	}
	require.Equal(t, runs[0], runs[1])
}

func TestFaultRate(t *testing.T) {
	for _, rate := range []float64{0, 0.1, 0.5, 1} {
		failed := 0
		for _, f := range schedule(t, 3, rate, 20_000, 1)[1] {
			if f {
				failed++
			}
		}
		require.InDelta(t, rate, float64(failed)/20_000, 0.01)
		if rate == 0 || rate == 1 {
			require.Equal(t, int(rate*20_000), failed)
		}
	}
}

func TestFaultStrikesItsKeysOnly(t *testing.T) {
	match, err := OneOf([]uint64{4, 6})
	require.NoError(t, err)
	fault := always(FaultError)
	fault.Match = match
	o := newOrigin(t, Config{Fault: fault})
	o.Start()
	for k := range uint64(10) {
		_, err := o.Load(t.Context(), k)
		require.Equal(t, k == 4 || k == 6, err != nil, "key %d", k)
	}
	require.Equal(t, uint64(2), o.Stats().Faults)
}

func TestFaultKindText(t *testing.T) {
	for _, k := range FaultKinds() {
		text, err := k.MarshalText()
		require.NoError(t, err)
		var got FaultKind
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, k, got)
	}
	require.Len(t, FaultKinds(), 7)
	var k FaultKind
	require.EqualError(t, k.UnmarshalText([]byte("crash")),
		`"crash": must be one of none, panic, goexit, error, hang, child, slow`)
	require.Equal(t, "FaultKind(7)", FaultKind(7).String())
}
