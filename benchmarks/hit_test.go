package benchmarks

import (
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkHit reads stored keys, zipf(1.01) over 100,000.
func BenchmarkHit(b *testing.B) {
	b.Run("keys=int", benchmarkHit[int])
	b.Run("keys=string", benchmarkHit[string])
}

// newMap returns what a hit costs at least: a map of Go that nobody writes. It has no lock, order,
// expiry or counters.
func newMap[K keys](_ testing.TB, _ int, _ time.Duration, _ loader[K, int]) subject[K, int] {
	m := make(map[K]int)
	return subject[K, int]{
		get: func(key K) (int, bool) { v, ok := m[key]; return v, ok },
		set: func(key K, value int) { m[key] = value },
	}
}

func benchmarkHit[K keys](b *testing.B) {
	run := func(b *testing.B, l library[K, int], ttl time.Duration) {
		// Twice the capacity, since some libraries evict entries that would just fit.
		c := l.make(b, 2*keyCount, ttl, number[K])
		for i, key := range keysOf[K](keyCount) {
			c.set(key, i)
			if c.wait != nil && i%1000 == 0 {
				c.wait()
			}
		}
		benchmarkMixed(b, c, keyCount, 100)
	}
	each(b, both, run)
	if wanted(floor) {
		b.Run("ttl=0s/lib="+floor, func(b *testing.B) {
			run(b, library[K, int]{name: floor, make: newMap[K]}, 0)
		})
	}
}

// BenchmarkMixed reads and writes, zipf(1.01) over 100,000 keys with a capacity of half of them.
func BenchmarkMixed(b *testing.B) {
	b.Run("reads=75", func(b *testing.B) {
		each(b, both, func(b *testing.B, l library[int, int], ttl time.Duration) {
			benchmarkMixed(b, l.make(b, keyCount/2, ttl, number[int]), keyCount, 75)
		})
	})
	b.Run("reads=50", func(b *testing.B) {
		each(b, both, func(b *testing.B, l library[int, int], ttl time.Duration) {
			benchmarkMixed(b, l.make(b, keyCount/2, ttl, number[int]), keyCount, 50)
		})
	})
}

// benchmarkMixed reads in the given number of a hundred operations, and writes in the others.
func benchmarkMixed[K keys](b *testing.B, c subject[K, int], n, reads int) {
	b.Helper()
	keys := draws[K](b, n)
	var lanes, misses atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		i := int(lanes.Add(1)) * 7919
		missed := int64(0)
		for pb.Next() {
			key := keys[i&(len(keys)-1)]
			if i*37%100 < reads {
				if _, ok := c.get(key); !ok {
					missed++
				}
			} else {
				c.set(key, i)
			}
			i++
		}
		misses.Add(missed)
	})
	b.StopTimer()
	b.ReportMetric(100*float64(misses.Load())/float64(b.N), "misses/100op")
}
