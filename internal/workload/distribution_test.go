package workload

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func latency(tb testing.TB, text string) Latency {
	tb.Helper()
	var l Latency
	require.NoError(tb, l.UnmarshalText([]byte(text)))
	return l
}

func size(tb testing.TB, text string) Size {
	tb.Helper()
	var s Size
	require.NoError(tb, s.UnmarshalText([]byte(text)))
	return s
}

func TestLatencyShapes(t *testing.T) {
	const n = 200_000
	for _, tt := range []struct {
		text                   string
		p01, median, p99, mean time.Duration
	}{
		{"5ms", 5 * time.Millisecond, 5 * time.Millisecond, 5 * time.Millisecond, 5 * time.Millisecond},
		{"uniform:1ms..11ms", 1100 * time.Microsecond, 6 * time.Millisecond, 10900 * time.Microsecond,
			6 * time.Millisecond},
		{"exp:5ms", 50250 * time.Nanosecond, 3465736 * time.Nanosecond, 23025851 * time.Nanosecond,
			5 * time.Millisecond},
		{"lognormal:5ms,40ms", 625 * time.Microsecond, 5 * time.Millisecond, 40 * time.Millisecond,
			7456 * time.Microsecond},
	} {
		r := Stream(11)
		l := latency(t, tt.text)
		samples := make([]time.Duration, n)
		sum := 0.0
		for i := range samples {
			samples[i] = l.Sample(r)
			sum += float64(samples[i])
		}
		slices.Sort(samples)
		require.InEpsilon(t, float64(tt.p01), float64(samples[n/100]), 0.05, tt.text)
		require.InEpsilon(t, float64(tt.median), float64(samples[n/2]), 0.02, tt.text)
		require.InEpsilon(t, float64(tt.p99), float64(samples[n*99/100]), 0.03, tt.text)
		require.InEpsilon(t, float64(tt.mean), sum/n, 0.02, tt.text)
		require.LessOrEqual(t, samples[n-1], l.Max(), tt.text)
	}
	require.Equal(t, 5*time.Millisecond, latency(t, "5ms").Max())
	require.Equal(t, 11*time.Millisecond, latency(t, "uniform:1ms..11ms").Max())
}

func TestLatencyNeverOverflows(t *testing.T) {
	r := Stream(12)
	for _, text := range []string{"exp:1h", "lognormal:1ns,1h", "uniform:0s..1h"} {
		l := latency(t, text)
		least, most := MaxLatency, time.Duration(0)
		for range 50_000 {
			d := l.Sample(r)
			least, most = min(least, d), max(most, d)
		}
		require.GreaterOrEqual(t, least, time.Duration(0), text)
		require.LessOrEqual(t, most, MaxLatency, text)
	}
}

func TestSizes(t *testing.T) {
	const n = 100_000
	for _, tt := range []struct {
		text           string
		least, most    int
		median, within int
	}{
		{"100", 100, 100, 100, 0},
		{"uniform:10B..20B", 10, 20, 15, 0},
		{"lognormal:256B,4KiB,8KiB", 1, 8192, 256, 8},
		{"lognormal:256B,4KiB", 1, 16384, 256, 8},
	} {
		r := Stream(13)
		s := size(t, tt.text)
		samples := make([]int, n)
		for i := range samples {
			samples[i] = s.Sample(r)
		}
		slices.Sort(samples)
		require.GreaterOrEqual(t, samples[0], tt.least, tt.text)
		require.Equal(t, tt.most, samples[n-1], "%s: the largest sample", tt.text)
		require.Equal(t, tt.most, s.Max())
		require.InDelta(t, tt.median, samples[n/2], float64(tt.within), tt.text)
	}
	require.Zero(t, Size{}.Sample(Stream(1)))
}

func TestMixPicks(t *testing.T) {
	m := Mix{Read: 70, Write: 20, Delete: 10}
	r := Stream(14)
	counts := make([]int, 3)
	for range 100_000 {
		counts[m.Pick(r)]++
	}
	requireChiSquared(t, counts, []float64{0.7, 0.2, 0.1})
	require.Equal(t, Delete, Mix{Delete: 1}.Pick(r))
	require.Equal(t, []string{"read", "write", "delete", "Op(9)"},
		[]string{Read.String(), Write.String(), Delete.String(), Op(9).String()})
}

func TestSampleAllocatesNothing(t *testing.T) {
	r := Stream(15)
	l, s, m := latency(t, "lognormal:5ms,40ms"), size(t, "lognormal:1kB,2kB"), Mix{1, 1, 1}
	require.Zero(t, testing.AllocsPerRun(1000, func() { l.Sample(r); s.Sample(r); m.Pick(r) }))
}
