package sample

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/leak"
	"github.com/snowfence/snowfence/internal/series"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestSampler(t *testing.T) {
	s := New("rate", "gauge", "none")
	require.True(t, s.Next(500*time.Millisecond, time.Second))
	require.InDelta(t, 20, s.Rate("rate", 10), 1e-9)
	s.Gauge("gauge", -3)
	require.False(t, s.Next(600*time.Millisecond, time.Second), "too soon")
	require.True(t, s.Next(1400*time.Millisecond, time.Second))
	s.At = 1500 * time.Millisecond
	require.InDelta(t, 10, s.Rate("rate", 9), 1e-9)
	s.Gauge("gauge", -5)

	all := s.All()
	require.Equal(t, []series.Point{{T: 0.5, V: 20}, {T: 1.5, V: 10}}, all[0].Points)
	require.Equal(t, []series.Point{{T: 0.5, V: -3}, {T: 1.5, V: -5}}, all[1].Points)
	require.InDelta(t, 20, s.Peak("rate"), 1e-9)
	require.InDelta(t, -3, s.Peak("gauge"), 1e-9)
	require.Zero(t, s.Peak("none"))
}

func TestProgram(t *testing.T) {
	kept := make([]byte, 1<<24)
	goroutines, heap := Program()
	runtime.KeepAlive(kept)
	require.NotZero(t, goroutines)
	require.GreaterOrEqual(t, heap, uint64(1<<24))
}
