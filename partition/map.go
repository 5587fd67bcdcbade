package partition

import (
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Max is the largest number of partitions that a [Map] can have.
const Max = 1 << 16

// ErrCount says that a number of partitions is not within 1 to [Max].
var ErrCount = errors.New("partition: count out of range")

// Map sends keys to partitions. The zero Map has one partition, as New(1) has.
//
// A Map is a small value: copy it freely. Two Maps are equal (==) if and only
// if they send every key to the same partition. All methods are safe for
// concurrent use, never block and never allocate.
type Map struct {
	// last is the highest partition, one less than the count, so that the zero
	// value is a map of one partition and Max still fits.
	last uint16
}

// New returns a Map of n partitions, numbered 0 to n-1. It returns an error
// that is [ErrCount] and names n unless n is within 1 to [Max].
func New(n int) (Map, error) {
	if n < 1 || n > Max {
		return Map{}, fmt.Errorf("%w: %d is not within 1 to %d", ErrCount, n, Max)
	}
	return Map{last: uint16(n - 1)}, nil
}

// Of returns the partition of key, at least 0 and less than [Map.Len]. Every
// string is a key, the empty one and invalid UTF-8 included.
func (m Map) Of(key string) int {
	return jump(xxhash.Sum64String(key), m.Len())
}

// OfBytes is [Map.Of] for a key held as bytes: it returns m.Of(string(key)). It
// does not keep or change key. A nil key is the empty key.
func (m Map) OfBytes(key []byte) int {
	return jump(xxhash.Sum64(key), m.Len())
}

// Len returns the number of partitions, at least 1.
func (m Map) Len() int {
	return int(m.last) + 1
}
