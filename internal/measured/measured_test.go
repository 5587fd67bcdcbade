package measured

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/internal/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSpread(t *testing.T) {
	h := hdrhistogram.New(1, int64(time.Minute), 3)
	b, err := json.Marshal(SpreadOf(h))
	require.NoError(t, err)
	require.JSONEq(t, `{"count":0,"p50_seconds":null,"p99_seconds":null,"max_seconds":null}`,
		string(b))

	for i := range 100 {
		require.NoError(t, h.RecordValue(int64(i+1)*int64(time.Millisecond)))
	}
	s := SpreadOf(h)
	require.EqualValues(t, 100, s.Count)
	require.InEpsilon(t, 0.050, float64(s.P50), 0.01)
	require.InEpsilon(t, 0.100, float64(s.Max), 0.01)
	require.LessOrEqual(t, s.P99, s.Max)
	require.True(t, s.P99.Exists())
	require.False(t, None().Exists())
	require.Equal(t, 1500*time.Millisecond, Value(1.5).Duration())
	require.Equal(t, "50 ms / 99 ms / 100 ms", s.Cell().String())
	require.Equal(t, table.Missing(), Spread{}.Cell())
}
