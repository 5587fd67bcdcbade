package human_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/internal/human"
)

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		in   time.Duration
		want string
	}{
		{0, "0 s"},
		{999, "999 ns"},
		{1000, "1.0 µs"},
		{45 * time.Microsecond, "45 µs"},
		{9960 * time.Nanosecond, "10 µs"},
		{999_600 * time.Nanosecond, "1.0 ms"},
		{1234 * time.Microsecond, "1.2 ms"},
		{450 * time.Millisecond, "450 ms"},
		{999_600 * time.Microsecond, "1.0 s"},
		{5001 * time.Millisecond, "5.0 s"},
		{59_960 * time.Millisecond, "1 min"},
		{125 * time.Second, "2 min 5 s"},
		{3599_600 * time.Millisecond, "1 h"},
		{3720 * time.Second, "1 h 2 min"},
		{-1500 * time.Microsecond, "-1.5 ms"},
	} {
		assert.Equal(t, c.want, human.Duration(c.in), "%d ns", c.in)
	}
	assert.NotPanics(t, func() { human.Duration(math.MinInt64) })
}

func TestNumbers(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct{ got, want string }{
		{human.Seconds(0.0012), "1.2 ms"},
		{human.Seconds(1e30), "1e+30 s"},
		{human.Seconds(nan), human.Missing},
		{human.Plain(8 * time.Second), "8 s"},
		{human.Plain(1500 * time.Millisecond), "1.5 s"},
		{human.Plural(1, "node", "nodes"), "1 node"},
		{human.Plural(1000, "node", "nodes"), "1,000 nodes"},
		{human.Count(0), "0"},
		{human.Count(uint64(math.MaxUint64)), "18,446,744,073,709,551,615"},
		{human.Count(999), "999"},
		{human.Count(-1234567), "-1,234,567"},
		{human.Number(3.14159), "3.14"},
		{human.Number(2), "2"},
		{human.Number(0), "0"},
		{human.Number(12345.6), "12,346"},
		{human.Number(1e20), "1e+20"},
		{human.Number(0.00012), "0.00012"},
		{human.Number(inf), human.Missing},
		{human.Rate(12345), "12,345/s"},
		{human.Rate(3.42), "3.4/s"},
		{human.Rate(9.97), "10/s"},
		{human.Rate(0), "0/s"},
		{human.Rate(0.001), "0.001/s"},
		{human.Rate(nan), human.Missing},
		{human.Bytes(0), "0 B"},
		{human.Bytes(1023), "1023 B"},
		{human.Bytes(1024), "1.0 KiB"},
		{human.Bytes(3.4 * (1 << 20)), "3.4 MiB"},
		{human.Bytes(1023.9 * 1024), "1.0 MiB"},
		{human.Bytes(512 << 20), "512 MiB"},
		{human.Bytes(-2048), "-2.0 KiB"},
		{human.Bytes(inf), human.Missing},
		{human.Percent(0.7921), "79.21 %"},
		{human.Percent(0), "0.00 %"},
		{human.Percent(1), "100.00 %"},
		{human.Percent(0.00001), "<0.01 %"},
		{human.Percent(0.999999), ">99.99 %"},
		{human.Percent(nan), human.Missing},
		{human.SI(0), "0"},
		{human.SI(0.25), "0.25"},
		{human.SI(1500), "1,500"},
		{human.SI(12_000), "12k"},
		{human.SI(1_500_000), "1.5M"},
		{human.SI(-2e9), "-2G"},
		{human.SI(1e300), "1e+300"},
		{human.SI(nan), human.Missing},
	} {
		assert.Equal(t, c.want, c.got)
	}
}
