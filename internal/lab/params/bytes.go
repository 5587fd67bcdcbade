package params

import (
	"fmt"
	"strconv"
	"strings"
)

// Bytes is a number of bytes, such as 64MiB in text.
type Bytes uint64

var byteUnits = []struct {
	name string
	size uint64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, // B last: all end in it
}

// UnmarshalText reads a whole number with a unit, B if it has none.
func (b *Bytes) UnmarshalText(text []byte) error {
	number, unit := string(text), uint64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = rest, u.size
			break
		}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
	if err != nil || n > (1<<62)/unit {
		return fmt.Errorf("must be a whole number of bytes such as 64MiB, got %q",
			brief(string(text)))
	}
	*b = Bytes(n * unit)
	return nil
}

// MarshalText returns the number in the largest unit of which it is a multiple.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String is MarshalText.
func (b Bytes) String() string {
	if b == 0 {
		return "0"
	}
	for _, u := range byteUnits {
		if uint64(b)%u.size == 0 {
			return strconv.FormatUint(uint64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(b), 10) // not reached: all are multiples of B
}
