package workload

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// MaxSize is the upper bound, in bytes, of the parameters of a Size.
const MaxSize = 64 << 20

// A Size is a distribution of sizes in bytes. As text it is one of
//
//	100B                        constant; also fixed:100B
//	uniform:64B..4KiB           uniform between the bounds
//	lognormal:256B,4KiB         lognormal, by its median and 99th percentile
//	lognormal:256B,4KiB,64KiB   the same, cut off at the third
//
// Units are B, KiB, MiB, kB and MB; a bare number is bytes. A lognormal size is at least 1 byte.
// Without a third part it is cut off at 4 times its 99th percentile, so that no single value
// dominates a run. The zero value is the constant 0. Sizes can be compared with ==.
type Size struct {
	law     law
	a, b, c int
}

// FixedSize returns the constant size of n bytes.
func FixedSize(n int) (Size, error) { return newSize(fixed, n, 0, 0) }

// UniformSize returns a uniform size between lo and hi bytes.
func UniformSize(lo, hi int) (Size, error) { return newSize(uniform, lo, hi, 0) }

// LognormalSize returns a lognormal size with the given median and 99th percentile, cut off at
// most; a most of 0 means the default.
func LognormalSize(median, p99, most int) (Size, error) {
	return newSize(lognormal, median, p99, most)
}

func newSize(l law, a, b, c int) (Size, error) {
	for _, n := range []int{a, b, c} {
		if n < 0 || n > MaxSize {
			return Size{}, fmt.Errorf("%d bytes: must be from 0 to %d", n, MaxSize)
		}
	}
	switch {
	case l == exponential:
		return Size{}, fmt.Errorf("exp is not a distribution of sizes")
	case l == uniform && b < a:
		return Size{}, fmt.Errorf("the range %d..%d runs backwards", a, b)
	case l == lognormal && a == 0:
		return Size{}, fmt.Errorf("the median must be above 0")
	case l == lognormal && b < a:
		return Size{}, fmt.Errorf("the 99th percentile %d is below the median %d", b, a)
	case l == lognormal && c != 0 && c < b:
		return Size{}, fmt.Errorf("the largest size %d is below the 99th percentile %d", c, b)
	}
	return Size{l, a, b, c}, nil
}

// Max returns the largest size that Sample can return.
func (s Size) Max() int {
	switch {
	case s.law == uniform:
		return s.b
	case s.law == lognormal && s.c != 0:
		return s.c
	case s.law == lognormal:
		return min(4*s.b, MaxSize)
	default:
		return s.a
	}
}

// Sample draws a size in bytes. It allocates nothing.
func (s Size) Sample(r *rand.Rand) int {
	switch s.law {
	case uniform:
		return s.a + r.IntN(s.b-s.a+1)
	case lognormal:
		return int(min(max(lognormalSample(r, float64(s.a), float64(s.b)), 1), float64(s.Max())))
	default:
		return s.a
	}
}

// String returns the text form, which UnmarshalText parses.
func (s Size) String() string {
	switch {
	case s.law == uniform:
		return "uniform:" + formatSize(s.a) + ".." + formatSize(s.b)
	case s.law == lognormal && s.c != 0:
		return "lognormal:" + formatSize(s.a) + "," + formatSize(s.b) + "," + formatSize(s.c)
	case s.law == lognormal:
		return "lognormal:" + formatSize(s.a) + "," + formatSize(s.b)
	default:
		return formatSize(s.a)
	}
}

// MarshalText returns the text form, as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText parses the text form. The error quotes the text and gives the reason.
func (s *Size) UnmarshalText(text []byte) error {
	family, parts, err := splitLaw(string(text))
	if err != nil {
		return fmt.Errorf("size %q: %w", text, err)
	}
	var n [3]int
	if len(parts) > len(n) {
		return fmt.Errorf("size %q: lognormal takes a median, a 99th percentile and a largest size", text)
	}
	for i, part := range parts {
		if n[i], err = parseSize(part); err != nil {
			return fmt.Errorf("size %q: %w", text, err)
		}
	}
	size, err := newSize(family, n[0], n[1], n[2])
	if err != nil {
		return fmt.Errorf("size %q: %w", text, err)
	}
	*s = size
	return nil
}

// The longest suffixes come first, because every unit ends in B.
var sizeUnits = []struct {
	suffix string
	bytes  int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"kB", 1e3}, {"MB", 1e6}, {"B", 1}}

func parseSize(text string) (int, error) {
	number, unit := text, 1
	for _, u := range sizeUnits {
		if digits, ok := strings.CutSuffix(text, u.suffix); ok {
			number, unit = digits, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size such as 100B or 4KiB", text)
	}
	if n > MaxSize/uint64(unit) {
		return 0, fmt.Errorf("%s: must be from 0 to %d bytes", text, MaxSize)
	}
	return int(n) * unit, nil
}

func formatSize(n int) string {
	switch {
	case n != 0 && n%(1<<20) == 0:
		return strconv.Itoa(n>>20) + "MiB"
	case n != 0 && n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + "KiB"
	default:
		return strconv.Itoa(n) + "B"
	}
}
