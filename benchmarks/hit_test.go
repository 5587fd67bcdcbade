package benchmarks

import (
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snowfence/snowfence/internal/workload"
	"github.com/stretchr/testify/require"
)

const keyCount = 100_000

// name is the key as singleflight wants it.
func name(key int) string { return strconv.Itoa(key) }

// zipfKeys is a fixed sequence of keys, zipf(1.01) over keyCount.
func zipfKeys(tb testing.TB) []int {
	tb.Helper()
	z, err := workload.NewZipf(keyCount, 1.01)
	require.NoError(tb, err)
	r := rand.New(rand.NewPCG(1, 1))
	keys := make([]int, 1<<20)
	for i := range keys {
		keys[i] = int(z.Draw(r))
	}
	return keys
}

// BenchmarkHit reads keys that are there.
func BenchmarkHit(b *testing.B) {
	keys := zipfKeys(b)
	for _, ttl := range []time.Duration{0, time.Hour} {
		for _, s := range subjects {
			b.Run("ttl="+ttl.String()+"/"+s.name, func(b *testing.B) {
				c := s.make(b, keyCount, ttl)
				for key := range keyCount {
					c.set(key, key)
				}
				var missed, lanes atomic.Uint64
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					i := lanes.Add(1) * 7919
					for pb.Next() {
						if _, ok := c.get(keys[i%uint64(len(keys))]); !ok {
							missed.Add(1)
						}
						i++
					}
				})
				b.ReportMetric(float64(missed.Load())/float64(b.N), "misses/op")
			})
		}
	}
}
