package workload

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// A Zipf draws ranks from 0 to n-1, rank r with a weight of 1/(r+1)^skew. It uses
// rejection-inversion (W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from
// monotone discrete distributions", ACM TOMACS 6(3), 1996), which works for every skew above 0,
// takes a time independent of n, and needs no table. [rand.Zipf] is limited to a skew above 1. A
// Zipf is immutable, so goroutines may share it, each with its own generator.
type Zipf struct {
	n     float64
	skew  float64
	first float64 // the area up to 1.5, minus the weight of rank 0
	last  float64 // the area up to n+0.5
	near  float64 // a point this near below its rank is accepted without computing the area
}

// maxRanks keeps ranks exact in a float64.
const maxRanks = 1 << 52

// NewZipf returns a Zipf over n ranks. n must be from 1 to 2^52 and skew a
// number above 0.
func NewZipf(n uint64, skew float64) (*Zipf, error) {
	if n < 1 || n > maxRanks {
		return nil, fmt.Errorf("workload: zipf: number of keys: must be from 1 to %d, got %d",
			uint64(maxRanks), n)
	}
	if err := checkSkew(skew); err != nil {
		return nil, fmt.Errorf("workload: zipf: %w", err)
	}
	z := &Zipf{n: float64(n), skew: skew}
	z.first = z.area(1.5) - 1
	z.last = z.area(z.n + 0.5)
	z.near = 2 - z.areaInverse(z.area(2.5)-z.weight(2))
	return z, nil
}

// maxSkew is far beyond any use: at 50, all but one request in 10^15 go to one key.
const maxSkew = 50

func checkSkew(skew float64) error {
	if !(skew > 0 && skew <= maxSkew) { // also refuses NaN
		return fmt.Errorf("skew: must be > 0 and at most %d, got %v", maxSkew, skew)
	}
	return nil
}

// Draw returns a rank.
func (z *Zipf) Draw(r *rand.Rand) uint64 {
	for {
		// u is a point of the area under the continuous weight, from its right end to its left; it
		// selects the rank.
		u := z.last + r.Float64()*(z.first-z.last)
		x := z.areaInverse(u)
		k := min(max(math.Floor(x+0.5), 1), z.n)
		if k-x <= z.near || u >= z.area(k+0.5)-z.weight(k) {
			return uint64(k) - 1
		}
	}
}

// weight returns x^-skew.
func (z *Zipf) weight(x float64) float64 { return math.Exp(-z.skew * math.Log(x)) }

// area returns the integral of weight from 1 to x. With expm1 it is continuous at a skew of 1,
// where it is the logarithm.
func (z *Zipf) area(x float64) float64 {
	l := math.Log(x)
	return expm1Over((1-z.skew)*l) * l
}

func (z *Zipf) areaInverse(y float64) float64 {
	// With a large skew, rounding can carry y past the area's upper bound.
	t := max((1-z.skew)*y, -1)
	return math.Exp(log1pOver(t) * y)
}

// expm1Over returns (e^t - 1)/t, and log1pOver ln(1+t)/t. Both are 1 at 0; near 0 the first terms
// of their series are accurate enough.
func expm1Over(t float64) float64 {
	if math.Abs(t) < 1e-8 {
		return 1 + t/2
	}
	return math.Expm1(t) / t
}

func log1pOver(t float64) float64 {
	if math.Abs(t) < 1e-8 {
		return 1 - t/2
	}
	return math.Log1p(t) / t
}
