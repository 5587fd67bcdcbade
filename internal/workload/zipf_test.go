package workload

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireChiSquared fails if counts are unlikely to come from the distribution p. Neighbouring
// outcomes are merged until at least 10 of each are expected. The bound is 4 standard deviations: a
// correct generator fails for one seed in 30,000, and the seeds here are fixed.
func requireChiSquared(t *testing.T, counts []int, p []float64) {
	t.Helper()
	require.Len(t, p, len(counts))
	total := 0
	for _, c := range counts {
		total += c
	}
	sum, bins := 0.0, 0
	want, got := 0.0, 0
	for i := range counts {
		want += p[i] * float64(total)
		got += counts[i]
		rest := 0.0
		if i+1 < len(counts) {
			for _, q := range p[i+1 : min(i+50, len(p))] {
				rest += q * float64(total)
			}
		}
		if want >= 10 && (rest >= 10 || i+1 == len(counts)) {
			sum += (float64(got) - want) * (float64(got) - want) / want
			bins++
			want, got = 0, 0
		}
	}
	if want > 0 {
		sum += (float64(got) - want) * (float64(got) - want) / want
		bins++
	}
	if bins < 2 {
		return // all of the weight is in one outcome
	}
	// The quantile of the chi-squared distribution after Wilson and Hilferty.
	k := float64(bins - 1)
	bound := k * math.Pow(1-2/(9*k)+4*math.Sqrt(2/(9*k)), 3)
	t.Logf("chi-squared %.1f over %d bins, bound %.1f", sum, bins, bound)
	require.Less(t, sum, bound)
}

func zipfProbabilities(n int, skew float64) []float64 {
	p := make([]float64, n)
	sum := 0.0
	for r := n - 1; r >= 0; r-- {
		p[r] = math.Pow(float64(r+1), -skew)
		sum += p[r]
	}
	for r := range p {
		p[r] /= sum
	}
	return p
}

func TestZipfAgainstTheExactDistribution(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 1000} {
		for i, skew := range []float64{1e-9, 0.1, 0.5, 0.99, 1 - 1e-12, 1, 1.01, 1.2, 2, 5} {
			t.Run(fmt.Sprintf("n=%d/skew=%v", n, skew), func(t *testing.T) {
				z, err := NewZipf(uint64(n), skew)
				require.NoError(t, err)
				r := Stream(1, uint64(n), uint64(i))
				counts := make([]int, n)
				for range 20_000 + 100*n {
					counts[z.Draw(r)]++
				}
				requireChiSquared(t, counts, zipfProbabilities(n, skew))
			})
		}
	}
}

// With many keys only the most popular ones can be checked one by one.
func TestZipfHeadOfManyKeys(t *testing.T) {
	const n, head, draws = 1_000_000, 200, 300_000
	for i, skew := range []float64{0.5, 0.99, 1.01, 1.2} {
		z, err := NewZipf(n, skew)
		require.NoError(t, err)
		exact := zipfProbabilities(n, skew)
		p := make([]float64, head+1)
		copy(p, exact[:head])
		p[head] = 1 // all the others
		for _, q := range exact[:head] {
			p[head] -= q
		}
		counts := make([]int, head+1)
		r := Stream(2, uint64(i))
		for range draws {
			counts[min(z.Draw(r), head)]++
		}
		requireChiSquared(t, counts, p)
	}
}

func TestZipfAtItsLimits(t *testing.T) {
	for _, skew := range []float64{1e-300, 1, maxSkew} {
		z, err := NewZipf(maxRanks, skew)
		require.NoError(t, err)
		r := Stream(3)
		for range 10_000 {
			require.Less(t, z.Draw(r), uint64(maxRanks))
		}
	}
	for _, skew := range []float64{0, -1, maxSkew + 1, math.NaN(), math.Inf(1)} {
		_, err := NewZipf(10, skew)
		require.EqualError(t, err, fmt.Sprintf("workload: zipf: skew: must be > 0 and at most 50, got %v",
			skew))
	}
	_, err := NewZipf(0, 1)
	require.EqualError(t, err, "workload: zipf: number of keys: must be from 1 to 4503599627370496, "+
		"got 0")
	_, err = NewZipf(maxRanks+1, 1)
	require.Error(t, err)
}

func BenchmarkZipf(b *testing.B) {
	for _, skew := range []float64{0.99, 1.01} {
		b.Run(fmt.Sprint(skew), func(b *testing.B) {
			z, err := NewZipf(1_000_000, skew)
			require.NoError(b, err)
			r := Stream(1)
			b.ReportAllocs()
			for b.Loop() {
				z.Draw(r)
			}
		})
	}
}
