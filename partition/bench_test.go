package partition

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
)

func BenchmarkOf(b *testing.B) {
	for _, n := range []int{16, 1000, Max} {
		for _, size := range []int{8, 32, 256} {
			b.Run(fmt.Sprintf("n=%d/key=%dB", n, size), func(b *testing.B) {
				m, err := New(n)
				if err != nil {
					b.Fatal(err)
				}
				key := strings.Repeat("k", size)
				b.ReportAllocs()
				for b.Loop() {
					m.Of(key)
				}
			})
		}
	}
}

func BenchmarkOfBytes(b *testing.B) {
	m, err := New(1000)
	if err != nil {
		b.Fatal(err)
	}
	key := []byte(strings.Repeat("k", 32))
	b.ReportAllocs()
	for b.Loop() {
		m.OfBytes(key)
	}
}

// BenchmarkReduce sets the jump hash beside the reduction that was not chosen,
// which is faster but moves half of all keys when n grows by one. Each hash
// depends on the one before, so the time is measured, not the throughput: a
// caller that waits for the partition pays it in full.
func BenchmarkReduce(b *testing.B) {
	reductions := []struct {
		name   string
		reduce func(hash uint64, n int) int
	}{
		{"jump", jump},
		{"multiply-shift", func(hash uint64, n int) int {
			hi, _ := bits.Mul64(hash, uint64(n))
			return int(hi)
		}},
	}
	for _, r := range reductions {
		for _, n := range []int{1, 16, 1000, Max} {
			b.Run(fmt.Sprintf("%s/n=%d", r.name, n), func(b *testing.B) {
				b.ReportAllocs()
				hash := uint64(1)
				for b.Loop() {
					hash = (hash + uint64(r.reduce(hash, n)) + 1) * 0x9e3779b97f4a7c15
				}
			})
		}
	}
}
