package origin

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A load of many keys takes as long as the slowest of them, and has the same latencies as loads of
// one key.
func TestLoadManyTakesAsLongAsItsSlowestKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Latency: latency(t, "exp:5ms"), Size: size(t, "100B"), Seed: 3, CountKeys: true}
		slowest := time.Duration(0)
		one := newOrigin(t, c)
		for _, key := range []uint64{1, 2, 3} {
			slowest = max(slowest, (<-load(t.Context(), one, key)).took)
		}
		o := newOrigin(t, c)
		began := time.Now()
		values, failed, err := o.LoadMany(t.Context(), []uint64{1, 2, 3})
		require.NoError(t, err)
		require.Equal(t, slowest, time.Since(began))
		require.Empty(t, failed)
		require.Len(t, values, 3)
		for key, v := range values {
			require.NoError(t, o.Check(key, v))
			require.Equal(t, uint64(1), o.KeyLoads(key))
		}
		require.Equal(t, Stats{Loads: 1, Peak: 1}, o.Stats(), "it is one load")
	})
}

// An error affects single keys, and any other fault the whole load.
func TestFaultsOfLoadMany(t *testing.T) {
	odd := func(kind FaultKind) Fault {
		return Fault{Kind: kind, Rate: 1, Match: func(key uint64) bool { return key%2 == 1 }}
	}
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, Config{Fault: odd(FaultError)})
		o.Start()
		values, failed, err := o.LoadMany(t.Context(), []uint64{1, 2, 3})
		require.NoError(t, err)
		require.Len(t, values, 1)
		require.NoError(t, o.Check(2, values[2]))
		require.Len(t, failed, 2)
		require.EqualError(t, failed[3], "origin: injected fault: error of key 3")
		require.Equal(t, uint64(1), o.Stats().Faults)
	})
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, Config{Fault: odd(FaultPanic)})
		o.Start()
		require.PanicsWithError(t, "origin: injected fault: panic of key 3", func() {
			_, _, _ = o.LoadMany(t.Context(), []uint64{2, 3, 5})
		})
		require.Zero(t, o.Stats().InProgress)
		values, _, err := o.LoadMany(t.Context(), []uint64{2, 4})
		require.NoError(t, err)
		require.Len(t, values, 2, "no key of it fails")
	})
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(t, Config{Fault: odd(FaultSlow)})
		o.Start()
		ctx, cancel := context.WithTimeout(t.Context(), DefaultSlow/2)
		defer cancel()
		_, _, err := o.LoadMany(ctx, []uint64{2, 3})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		began := time.Now()
		values, _, err := o.LoadMany(t.Context(), []uint64{2, 3})
		require.NoError(t, err)
		require.Len(t, values, 2)
		require.Equal(t, DefaultSlow, time.Since(began))
	})
}
