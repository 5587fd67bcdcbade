package workload

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// MaxLatency is the upper bound of the parameters of a Latency and of its samples.
const MaxLatency = time.Hour

// A Latency is a distribution of durations. As text it is one of
//
//	5ms                 constant; also fixed:5ms
//	uniform:1ms..10ms   uniform between the bounds
//	exp:5ms             exponential, by its mean
//	lognormal:5ms,40ms  lognormal, by its median and 99th percentile
//
// The zero value is the constant 0. Latencies can be compared with ==.
type Latency struct {
	law  law
	a, b time.Duration
}

// A law is a family of distributions.
type law uint8

const (
	fixed law = iota
	uniform
	exponential
	lognormal
)

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// FixedLatency returns the constant latency d.
func FixedLatency(d time.Duration) (Latency, error) { return newLatency(fixed, d, 0) }

// UniformLatency returns a uniform latency between lo and hi.
func UniformLatency(lo, hi time.Duration) (Latency, error) { return newLatency(uniform, lo, hi) }

// ExponentialLatency returns an exponential latency with the given mean.
func ExponentialLatency(mean time.Duration) (Latency, error) {
	return newLatency(exponential, mean, 0)
}

// LognormalLatency returns a lognormal latency with the given median and 99th percentile.
func LognormalLatency(median, p99 time.Duration) (Latency, error) {
	return newLatency(lognormal, median, p99)
}

func newLatency(l law, a, b time.Duration) (Latency, error) {
	lat := Latency{l, a, b}
	for _, d := range []time.Duration{a, b} {
		if d < 0 || d > MaxLatency {
			return Latency{}, fmt.Errorf("%v: must be from 0 to %v", d, MaxLatency)
		}
	}
	switch {
	case l == uniform && b < a:
		return Latency{}, fmt.Errorf("the range %v..%v runs backwards", a, b)
	case l == lognormal && a == 0:
		return Latency{}, fmt.Errorf("the median must be above 0")
	case l == lognormal && b < a:
		return Latency{}, fmt.Errorf("the 99th percentile %v is below the median %v", b, a)
	}
	return lat, nil
}

// Max returns the longest duration that Sample can return.
func (l Latency) Max() time.Duration {
	switch l.law {
	case exponential, lognormal:
		return MaxLatency
	default:
		return max(l.a, l.b)
	}
}

// Sample draws a duration, at most MaxLatency. It allocates nothing.
func (l Latency) Sample(r *rand.Rand) time.Duration {
	switch l.law {
	case uniform:
		return l.a + time.Duration(r.Int64N(int64(l.b-l.a)+1))
	case exponential:
		return clampLatency(float64(l.a) * r.ExpFloat64())
	case lognormal:
		return clampLatency(lognormalSample(r, float64(l.a), float64(l.b)))
	default:
		return l.a
	}
}

func clampLatency(d float64) time.Duration {
	return time.Duration(min(d, float64(MaxLatency)))
}

// lognormalSample draws from the lognormal distribution with the given median
// and 99th percentile.
func lognormalSample(r *rand.Rand, median, p99 float64) float64 {
	sigma := math.Log(p99/median) / z99
	return median * math.Exp(sigma*r.NormFloat64())
}

// String returns the text form, which UnmarshalText parses.
func (l Latency) String() string {
	switch l.law {
	case uniform:
		return fmt.Sprintf("uniform:%v..%v", l.a, l.b)
	case exponential:
		return fmt.Sprintf("exp:%v", l.a)
	case lognormal:
		return fmt.Sprintf("lognormal:%v,%v", l.a, l.b)
	default:
		return l.a.String()
	}
}

// MarshalText returns the text form, as String does.
func (l Latency) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText parses the text form. The error quotes the text and gives the reason.
func (l *Latency) UnmarshalText(text []byte) error {
	family, parts, err := splitLaw(string(text))
	if err != nil {
		return fmt.Errorf("latency %q: %w", text, err)
	}
	var d [2]time.Duration
	if len(parts) > len(d) {
		return fmt.Errorf("latency %q: lognormal takes a median and a 99th percentile", text)
	}
	for i, part := range parts {
		if d[i], err = time.ParseDuration(part); err != nil {
			return fmt.Errorf("latency %q: %q is not a duration such as 5ms", text, part)
		}
	}
	lat, err := newLatency(family, d[0], d[1])
	if err != nil {
		return fmt.Errorf("latency %q: %w", text, err)
	}
	*l = lat
	return nil
}

// splitLaw parses "family:part...". The family is fixed by default. It returns one part for fixed
// and exp, two for uniform, and two or more for lognormal.
func splitLaw(text string) (law, []string, error) {
	name, rest, ok := strings.Cut(text, ":")
	if !ok {
		name, rest = "fixed", text
	}
	switch name {
	case "fixed":
		return fixed, []string{rest}, nil
	case "exp":
		return exponential, []string{rest}, nil
	case "uniform":
		lo, hi, ok := strings.Cut(rest, "..")
		if !ok {
			return 0, nil, fmt.Errorf("a range such as 1..10 must follow the name uniform")
		}
		return uniform, []string{lo, hi}, nil
	case "lognormal":
		parts := strings.Split(rest, ",")
		if len(parts) < 2 {
			return 0, nil, fmt.Errorf("a median and a 99th percentile must follow the name lognormal")
		}
		return lognormal, parts, nil
	default:
		return 0, nil, fmt.Errorf("unknown distribution %q", name)
	}
}
