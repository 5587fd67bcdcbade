package partition_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/partition"
)

func TestNewRefusesACountOutOfRange(t *testing.T) {
	for _, n := range []int{math.MinInt, -1, 0, partition.Max + 1, math.MaxInt} {
		m, err := partition.New(n)
		require.ErrorIs(t, err, partition.ErrCount, "n = %d", n)
		require.ErrorContains(t, err, strconv.Itoa(n))
		assert.Equal(t, 1, m.Len(), "the Map beside an error must be usable")
	}
}

func TestNewTakesEveryCountInRange(t *testing.T) {
	for n := 1; n <= partition.Max; n++ {
		if m, err := partition.New(n); err != nil || m.Len() != n {
			t.Fatalf("New(%d) returned a map of %d, error %v", n, m.Len(), err)
		}
	}
}

func TestZeroMapIsOnePartition(t *testing.T) {
	var zero partition.Map
	assert.Equal(t, newMap(t, 1), zero)
	assert.Equal(t, 1, zero.Len())
	for i := range 1000 {
		require.Zero(t, zero.Of(strconv.Itoa(i)))
	}
}

func TestNilBytesAreTheEmptyKey(t *testing.T) {
	m := newMap(t, partition.Max)
	assert.Equal(t, m.Of(""), m.OfBytes(nil))
	assert.Equal(t, m.Of(""), m.OfBytes([]byte{}))
}

func TestOfDoesNotAllocate(t *testing.T) {
	m := newMap(t, 1000)
	for _, size := range []int{0, 8, 31, 32, 33, 4096} {
		raw := make([]byte, size)
		key := string(raw)
		assert.Zero(t, testing.AllocsPerRun(100, func() { sink = m.Of(key) }), "Of, %d bytes", size)
		assert.Zero(t, testing.AllocsPerRun(100, func() { sink = m.OfBytes(raw) }), "OfBytes, %d bytes",
			size)
	}
}

// FuzzOf checks the properties that hold for every key and count.
func FuzzOf(f *testing.F) {
	f.Add([]byte(nil), 1)
	f.Add([]byte("user:123"), 16)
	f.Add([]byte{0xff, 0x00, 0xfe}, 65536)
	f.Add([]byte("a key that is longer than one block of the hash"), 1000)
	f.Add([]byte("x"), 0)
	f.Add([]byte("x"), -7)
	f.Fuzz(func(t *testing.T, key []byte, n int) {
		m, err := partition.New(n)
		if n < 1 || n > partition.Max {
			require.ErrorIs(t, err, partition.ErrCount)
			return
		}
		require.NoError(t, err)
		require.Equal(t, n, m.Len())

		p := m.Of(string(key))
		require.Equal(t, p, m.OfBytes(key))
		require.GreaterOrEqual(t, p, 0)
		require.Less(t, p, n)

		if wider, err := partition.New(n + 1); err == nil {
			if q := wider.Of(string(key)); q != p {
				require.Equal(t, n, q, "with one partition more a key stays or moves to the new one")
			}
		}
	})
}

// sink keeps the compiler from dropping a call whose result is not looked at.
var sink int

func newMap(tb testing.TB, n int) partition.Map {
	tb.Helper()
	m, err := partition.New(n)
	require.NoError(tb, err)
	return m
}
