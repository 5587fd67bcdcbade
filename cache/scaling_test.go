//go:build !race

// For the race detector, copying memory would be a race.

package cache

import (
	"bytes"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// image returns a copy of the memory at p.
func image[T any](p *T) []byte {
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p)))
}

// A hit does not write to memory that cores share: not to the cache, a shard or the table, and to
// its entry only once per interval. It counts in a stripe.
func TestHitsWriteNothingShared(t *testing.T) {
	for name, o := range map[string]Options[int, int]{
		"default": {Capacity: 100_000},
		"LRU":     {Capacity: 100_000, Policy: LRU},
		"TinyLFU": {Capacity: 100_000, Policy: TinyLFU},
		"TTL":     {Capacity: 100_000, TTL: time.Hour, ClockError: -1},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(o)
			require.NoError(t, err)
			const n = 50_000
			for i := range n {
				c.Set(i, i)
			}
			for i := range n { // notes the uses that are due
				c.Get(i)
			}
			c.sweeper.stop() // it advances its own clock
			require.NoError(t, c.sweeper.wait(t.Context()))
			look := func() (all [][]byte) {
				for i := range c.shards {
					s := &c.shards[i]
					all = append(all, image(s))
					for at := range s.index.table.Load().buckets {
						all = append(all, image(&s.index.table.Load().buckets[at]))
					}
					for e := range s.index.all {
						all = append(all, image(e))
					}
				}
				return all
			}
			before := look()
			for range 3 {
				for i := range n {
					if _, ok := c.Get(i); !ok {
						t.Fatal("a miss")
					}
				}
			}
			for i, now := range look() {
				if !bytes.Equal(before[i], now) {
					t.Fatal("hits wrote to shared memory")
				}
			}
			require.Equal(t, uint64(4*n), c.Stats().Hits)
			require.NoError(t, c.Close())
		})
	}
}

// Fields that are written often have cache lines of their own.
func TestLayout(t *testing.T) {
	const line = 64
	require.EqualValues(t, line, unsafe.Sizeof(stripe{}))
	if strconv.IntSize == 64 { // else all of these are smaller
		require.EqualValues(t, line, unsafe.Sizeof(bucket[int, int]{}))
		require.EqualValues(t, 32, unsafe.Sizeof(entry[int, int]{}))
		require.EqualValues(t, 48, unsafe.Sizeof(timedEntry[int, int]{}))
		var s shard[int, int]
		require.Zero(t, unsafe.Sizeof(s)%line)
		require.EqualValues(t, line, unsafe.Offsetof(s.policy)+unsafe.Sizeof(s.policy),
			"most writes need one line of a shard, in addition to that of a hit")
		require.Zero(t, unsafe.Offsetof(s.index)%line, "a hit reads one line of a shard")
		require.Less(t, unsafe.Offsetof(s.touchInterval)-unsafe.Offsetof(s.index), uintptr(line))
	}
	var k clock
	require.GreaterOrEqual(t, unsafe.Offsetof(k.coarse)-unsafe.Offsetof(k.hits), uintptr(line))
	require.GreaterOrEqual(t, unsafe.Offsetof(k.mu)-unsafe.Offsetof(k.coarse), uintptr(line))
	var s shard[int, int]
	require.GreaterOrEqual(t, unsafe.Offsetof(s.index)-unsafe.Offsetof(s.loads), uintptr(line),
		"the lock is apart from what hits read")
}
