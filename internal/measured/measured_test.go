package measured

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/internal/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTimes(t *testing.T) {
	for name, times := range map[string]*Times{"two digits": {}, "three digits": Fine()} {
		b, err := json.Marshal(times.Spread())
		require.NoError(t, err)
		require.JSONEq(t, `{"count":0,"p50_seconds":null,"p99_seconds":null,"max_seconds":null}`,
			string(b))
		require.Zero(t, times.At(50))
		require.False(t, times.Quantile(50).Exists())
		require.Zero(t, times.Mean())

		var half Times
		for i := range 100 {
			half = Times{}
			half.Add(time.Duration(i+1) * time.Millisecond)
			times.Merge(&half)
		}
		times.Merge(&Times{})
		s := times.Spread()
		require.EqualValues(t, 100, s.Count, name)
		require.InEpsilon(t, 0.050, float64(s.P50), 0.01)
		require.InEpsilon(t, 0.100, float64(s.Max), 1e-9)
		require.LessOrEqual(t, s.P99, s.Max)
		require.LessOrEqual(t, times.At(100), 100*time.Millisecond, "no step of the histogram")
		require.Equal(t, 50500*time.Microsecond, times.Mean())

		require.Regexp(t, "^50 ms / (99|100) ms / 100 ms$", s.Cell().String())
		require.Equal(t, table.Missing(), Spread{}.Cell())

		times.Reset()
		require.Zero(t, times.Count())
		times.Add(-time.Second) // a clock that was set back
		require.Zero(t, times.Max())
		times.Add(1000 * time.Hour)
		require.Equal(t, 48*time.Hour, times.Max())
		require.EqualValues(t, 2, times.Count())
	}
}

func TestValue(t *testing.T) {
	require.False(t, None().Exists())
	require.True(t, Value(0).Exists())
	require.Equal(t, 1500*time.Millisecond, Value(1.5).Duration())
	b, err := json.Marshal([]Value{None(), 1.5})
	require.NoError(t, err)
	require.JSONEq(t, `[null, 1.5]`, string(b))
	read := []Value{7, 7}
	require.NoError(t, json.Unmarshal(b, &read))
	require.False(t, read[0].Exists())
	require.Equal(t, Value(1.5), read[1])
	require.Error(t, json.Unmarshal([]byte(`["fast"]`), &read))
}
