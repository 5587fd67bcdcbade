package benchmarks

import (
	"context"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/snowfence/snowfence/internal/usage"
)

// BenchmarkMemory fills a cache with a million entries. An operation is the whole life of a cache.
// The results are the metrics: the bytes per entry after a garbage collection; the time of such a
// collection on all cores; while entries are replaced, the share of processor time of collections,
// including one at the end, and their longest pause; and the bytes per original entry that remain
// after 99 of 100 were deleted.
func BenchmarkMemory(b *testing.B) {
	b.Run("types=int-int", func(b *testing.B) {
		benchmarkMemory[int](b, func(i int) int { return i })
	})
	b.Run("types=string-bytes", func(b *testing.B) {
		benchmarkMemory[string](b, func(int) []byte { return make([]byte, 100) })
	})
}

func benchmarkMemory[K keys, V any](b *testing.B, value func(int) V) {
	b.Helper()
	entries := 1_000_000
	if raceEnabled {
		entries = 20_000 // a smoke test
	}
	each(b, both, func(b *testing.B, l library[K, V], ttl time.Duration) {
		var perEntry, collection, share, pause, left float64
		for range b.N {
			keys := keysOf[K](2 * entries)
			var none V
			before := heap()
			// A tenth more capacity: libraries that evict entries which would just fit would seem
			// to need less memory.
			c := l.make(b, entries*11/10, ttl, func(_ context.Context, _ K) (V, error) { return none, nil })
			for i := range entries {
				c.set(keys[i], value(i))
				if c.wait != nil && i%100 == 0 {
					c.wait()
				}
			}
			held := 0
			for _, key := range keys[:entries] {
				if _, ok := c.get(key); ok {
					held++
				}
			}
			perEntry += float64(heap()-before) / float64(max(held, 1))
			began := time.Now()
			runtime.GC()
			collection += time.Since(began).Seconds() * 1e3

			m := readGC()
			for i := range 2 * entries {
				c.set(keys[i], value(i))
			}
			s, p := m.since()
			share, pause = share+100*s, pause+p*1e6

			for i, key := range keys {
				if i%100 != 0 {
					c.del(key)
				}
			}
			if c.wait != nil {
				c.wait()
			}
			left += float64(heap()-min(before, heap())) / float64(entries)
			runtime.KeepAlive(keys)
			_, _ = c.get(keys[0])
		}
		n := float64(b.N)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(perEntry/n, "B/entry")
		b.ReportMetric(collection/n, "ms/gc")
		b.ReportMetric(share/n, "%gc-cpu")
		b.ReportMetric(pause/n, "µs-pause")
		b.ReportMetric(left/n, "B-left/entry")
	})
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // frees objects that finalizers and pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// gcTimes is the cost of garbage collections so far.
type gcTimes struct {
	gc, total float64
	pauses    *metrics.Float64Histogram
}

func readGC() gcTimes {
	// A collection updates the CPU classes.
	runtime.GC()
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"}, {Name: usage.PausesMetric}}
	metrics.Read(s)
	return gcTimes{s[0].Value.Float64(), s[1].Value.Float64(), s[2].Value.Float64Histogram()}
}

// since returns the share of processor time, and the longest pause in seconds.
func (m gcTimes) since() (share, pause float64) {
	now := readGC()
	_, pause = usage.Pauses(now.pauses, m.pauses.Counts)
	return (now.gc - m.gc) / max(now.total-m.total, 1e-9), pause
}
