package benchmarks

import (
	"testing"
	"time"
)

// BenchmarkIterate walks over 100,000 entries. An operation is an entry.
func BenchmarkIterate(b *testing.B) {
	each(b, plain, func(b *testing.B, l library[int, int], ttl time.Duration) {
		c := l.make(b, 2*keyCount, ttl, number[int])
		if c.all == nil {
			b.Skip("it has no iteration over keys and values")
		}
		for i := range keyCount {
			c.set(i, i)
			if c.wait != nil && i%1000 == 0 {
				c.wait()
			}
		}
		seen := 0
		b.ReportAllocs()
		b.ResetTimer()
		for seen < b.N {
			before := seen
			for range c.all {
				seen++
				if seen == b.N {
					break
				}
			}
			if seen == before {
				b.Fatal("it is empty")
			}
		}
	})
}
