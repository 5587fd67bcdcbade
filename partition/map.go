package partition

import (
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Max is the largest number of partitions that a [Map] can have.
const Max = 1 << 16

// ErrCount is returned by [New] for a number of partitions outside 1 to [Max].
var ErrCount = errors.New("partition: count out of range")

// A Map maps keys to partitions. The zero value has one partition, as New(1) has.
//
// Maps can be copied. Two Maps are equal (==) if and only if they map every key to
// the same partition. All methods are safe for concurrent use, never block and
// never allocate.
type Map struct {
	// last is the number of the highest partition, one less than the count, so that
	// the zero value has one partition and Max fits into 16 bits.
	last uint16
}

// New returns a Map with n partitions, numbered 0 to n-1. If n is not within 1 to
// [Max], it returns an error that wraps [ErrCount] and names n.
func New(n int) (Map, error) {
	if n < 1 || n > Max {
		return Map{}, fmt.Errorf("%w: %d is not within 1 to %d", ErrCount, n, Max)
	}
	return Map{last: uint16(n - 1)}, nil
}

// Of returns the partition of key, from 0 to [Map.Len]-1. Every string is a valid
// key, including the empty string and invalid UTF-8.
func (m Map) Of(key string) int {
	return jump(xxhash.Sum64String(key), m.Len())
}

// OfBytes returns m.Of(string(key)) without converting key. It neither retains nor
// changes key. A nil key is the empty key.
func (m Map) OfBytes(key []byte) int {
	return jump(xxhash.Sum64(key), m.Len())
}

// Len returns the number of partitions, at least 1.
func (m Map) Len() int {
	return int(m.last) + 1
}
