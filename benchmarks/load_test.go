package benchmarks

import (
	"sync"
	"testing"
)

// BenchmarkMiss fetches keys that were never there, with a loader that does
// nothing: what is measured is the library.
func BenchmarkMiss(b *testing.B) {
	for _, s := range subjects {
		b.Run(s.name, func(b *testing.B) {
			c := s.make(b, keyCount, 0)
			ctx := b.Context()
			key := 0
			b.ReportAllocs()
			for b.Loop() {
				if v, err := c.fetch(ctx, key); err != nil || v != load(key) {
					b.Fatalf("key %d: %d, %v", key, v, err)
				}
				key++
			}
		})
	}
}

// BenchmarkHerd has 1,000 goroutines fetch one key that is not there. An
// operation is a herd, its goroutines included.
func BenchmarkHerd(b *testing.B) {
	for _, s := range subjects {
		b.Run(s.name, func(b *testing.B) {
			c := s.make(b, keyCount, 0)
			ctx := b.Context()
			key := 0
			b.ReportAllocs()
			for b.Loop() {
				var wg sync.WaitGroup
				for range 1000 {
					wg.Go(func() {
						if _, err := c.fetch(ctx, key); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
				key++
			}
		})
	}
}
