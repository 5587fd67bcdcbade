package origin

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/workload"
)

func latency(tb testing.TB, text string) workload.Latency {
	tb.Helper()
	var l workload.Latency
	require.NoError(tb, l.UnmarshalText([]byte(text)))
	return l
}

func size(tb testing.TB, text string) workload.Size {
	tb.Helper()
	var s workload.Size
	require.NoError(tb, s.UnmarshalText([]byte(text)))
	return s
}

// newOrigin returns an origin that is closed at the end of the test.
func newOrigin(t *testing.T, c Config) *Origin {
	t.Helper()
	o, err := New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

// outcome holds the result of a load, or how its goroutine ended.
type outcome struct {
	value    []byte
	err      error
	panicked any
	goexit   bool
	took     time.Duration
}

// load runs Load in a goroutine of its own, which a fault may end.
func load(ctx context.Context, o *Origin, key uint64) <-chan outcome {
	done := make(chan outcome, 1)
	began := time.Now()
	go func() {
		out := outcome{goexit: true}
		defer func() {
			if out.panicked = recover(); out.panicked != nil {
				out.goexit = false
			}
			out.took = time.Since(began)
			done <- out
		}()
		out.value, out.err = o.Load(ctx, key)
		out.goexit = false
	}()
	return done
}

func always(kind FaultKind) Fault { return Fault{Kind: kind, Rate: 1} }

func TestLoadTakesItsLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, Config{Latency: latency(t, "5ms"), Size: size(t, "100B")})
		out := <-load(t.Context(), o, 7)
		require.NoError(t, out.err)
		require.NoError(t, o.Check(7, out.value))
		require.Equal(t, 5*time.Millisecond, out.took)
		require.Equal(t, Stats{Loads: 1, Peak: 1}, o.Stats())
	})
}

// The latency of a key's n-th load is the same in every run.
func TestLatencyIsSettledByTheSeed(t *testing.T) {
	run := func(seed uint64, keys ...uint64) (took []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			o := newOrigin(t, Config{Latency: latency(t, "exp:5ms"), Seed: seed})
			for _, k := range keys {
				took = append(took, (<-load(t.Context(), o, k)).took)
			}
		})
		return took
	}
	a, b := run(1, 1, 1, 2, 2), run(1, 2, 1, 2, 1)
	require.Equal(t, []time.Duration{a[0], a[1], a[2], a[3]}, []time.Duration{b[1], b[3], b[0], b[2]})
	require.NotEqual(t, a[0], a[1], "one key's loads differ")
	require.NotEqual(t, a, run(2, 1, 1, 2, 2))
}

func TestLoadHeedsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, Config{Latency: latency(t, "10s"), Concurrency: 1})
		reason := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, reason)
		defer cancel()
		first, second := load(ctx, o, 1), load(ctx, o, 2) // one waits for its latency, one for a turn
		synctest.Wait()
		require.Equal(t, Stats{Loads: 2, InProgress: 2, Peak: 2, Waiting: 1}, o.Stats())
		for _, c := range []<-chan outcome{first, second} {
			out := <-c
			require.ErrorIs(t, out.err, reason)
			require.Equal(t, 3*time.Second, out.took)
		}
		require.Equal(t, Stats{Loads: 2, Peak: 2}, o.Stats())
		// The end of the context takes precedence over a free turn.
		require.ErrorIs(t, (<-load(ctx, o, 3)).err, reason)
	})
}

func TestConcurrencyIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, Config{Latency: latency(t, "1s"), Concurrency: 3})
		var outs []<-chan outcome
		for k := range uint64(9) {
			outs = append(outs, load(t.Context(), o, k))
		}
		synctest.Wait()
		require.Equal(t, 6, o.Stats().Waiting)
		byTime := make(map[time.Duration]int)
		for _, c := range outs {
			out := <-c
			require.NoError(t, out.err)
			byTime[out.took]++
		}
		require.Equal(t, map[time.Duration]int{time.Second: 3, 2 * time.Second: 3, 3 * time.Second: 3},
			byTime)
		require.Equal(t, 9, o.Stats().Peak)
	})
}

func TestValues(t *testing.T) {
	o := newOrigin(t, Config{Size: size(t, "uniform:16B..200B"), Seed: 5})
	sizes := make(map[int]bool)
	for k := range uint64(200) {
		v, err := o.Load(t.Context(), k)
		require.NoError(t, err)
		require.NoError(t, o.Check(k, v))
		require.Error(t, o.Check(k+1, v), "a value passes for another key's")
		sizes[len(v)] = true
		if len(v) > 0 {
			v[len(v)-1] ^= 1
			require.ErrorContains(t, o.Check(k, v), "is 0x")
		}
	}
	require.Greater(t, len(sizes), 50)
	require.EqualError(t, newOrigin(t, Config{Size: size(t, "9B")}).Check(3, nil),
		"origin: value of key 3: 0 bytes, want 9")
	other := newOrigin(t, Config{Size: size(t, "100B"), Seed: 6})
	same := newOrigin(t, Config{Size: size(t, "100B"), Seed: 6})
	require.True(t, bytes.Equal(other.Value(1), same.Value(1)))
}

func TestKeyLoads(t *testing.T) {
	o := newOrigin(t, Config{CountKeys: true})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 100 {
				_, err := o.Load(t.Context(), 4)
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, uint64(1000), o.KeyLoads(4))
	require.Zero(t, o.KeyLoads(5))
	require.Equal(t, uint64(1000), o.Stats().Loads)
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, Config{Latency: latency(t, "1m"), Concurrency: 1})
		a, b := load(t.Context(), o, 1), load(t.Context(), o, 2)
		synctest.Wait()
		require.NoError(t, o.Close())
		require.ErrorIs(t, (<-a).err, ErrClosed)
		require.ErrorIs(t, (<-b).err, ErrClosed)
		require.ErrorIs(t, (<-load(t.Context(), o, 3)).err, ErrClosed)
		require.NoError(t, o.Close())
	})
}

func TestConfigIsChecked(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{Concurrency: -1}, "origin: Concurrency: must not be negative, got -1"},
		{Config{Fault: Fault{Kind: 99}}, "origin: Fault.Kind: unknown kind 99"},
		{Config{Fault: Fault{Rate: 1.5}}, "origin: Fault.Rate: must be from 0 to 1, got 1.5"},
		{Config{Fault: Fault{Start: -1}}, "origin: Fault.Start: must not be negative, got -1ns"},
		{Config{Fault: Fault{Start: 2, End: 2}}, "origin: Fault.End: must be after Start (2ns), got 2ns"},
		{Config{Fault: Fault{Slow: -1}}, "origin: Fault.Slow: must not be negative, got -1ns"},
		{Config{Fault: always(FaultChild)}, "origin: Go: must be given for the fault child"},
	} {
		_, err := New(tt.c)
		require.EqualError(t, err, tt.want)
	}
	_, err := OneOf(nil)
	require.Error(t, err)
}
