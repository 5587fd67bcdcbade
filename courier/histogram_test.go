package courier

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each duration is within the bounds of its bucket.
func TestBuckets(t *testing.T) {
	check := func(d time.Duration) {
		var h Histogram
		h.observe(d)
		for i, n := range h.Buckets() {
			require.EqualValues(t, 1, n)
			seconds := math.Min(math.Max(d.Seconds(), UpperBound(firstBucket-1)),
				UpperBound(firstBucket+numBuckets-1))
			require.GreaterOrEqual(t, seconds*(1+1e-8)+2e-9, UpperBound(i-1), "%v in bucket %d", d, i)
			require.LessOrEqual(t, seconds*(1-1e-8)-2e-9, UpperBound(i), "%v in bucket %d", d, i)
		}
	}
	for _, d := range []time.Duration{math.MinInt64, -1, 0, 1, time.Microsecond, time.Second,
		time.Second - 1, time.Second + 1, 4 * time.Second, 5 * time.Second, time.Hour, 8192 * time.Second,
		24 * time.Hour, math.MaxInt64} {
		check(d)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 100_000 {
		check(time.Duration(math.Exp(random.Float64() * math.Log(math.MaxInt64/2))))
	}
}

func TestHistogramCounts(t *testing.T) {
	var h, sum Histogram
	var shared sharedHistogram
	assert.Zero(t, h.Quantile(0.5))
	for i := 1; i <= 100; i++ {
		h.observe(time.Duration(i) * time.Millisecond)
		shared.observe(time.Duration(i) * time.Millisecond)
	}
	sum.Add(&h)
	shared.addTo(&sum)
	assert.EqualValues(t, 200, sum.Count)
	assert.Equal(t, 2*5050*time.Millisecond, sum.Sum)
	for q, want := range map[float64]time.Duration{
		0: time.Millisecond, 0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond,
	} {
		assert.InEpsilon(t, want, sum.Quantile(q), 0.2, "%v", q)
	}
}

// A caller that comes while the flight ends begins to wait after the end, and has not waited.
func TestWaitIsNotNegative(t *testing.T) {
	var of timings[string]
	of.observeWait(-time.Second)
	of.observeWait(time.Second)
	var waits Histogram
	of.waits.Load().addTo(&waits)
	assert.Equal(t, uint64(2), waits.Count)
	assert.Equal(t, time.Second, waits.Sum)
}
