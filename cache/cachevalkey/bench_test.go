package cachevalkey

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// BenchmarkStorage measures calls to a server on this machine, for batches of two sizes, from one
// caller and from many. Values have 1 KiB.
func BenchmarkStorage(b *testing.B) {
	_, s := start(b)
	since := top(read(b, s))
	for _, n := range []int{1, 100} {
		keys := make([]string, n)
		records := make([]cache.Record, n)
		for i := range keys {
			keys[i] = fmt.Sprint("key", i)
			records[i] = cache.Record{Key: keys[i], Data: make([]byte, 1<<10), Keep: time.Hour}
		}
		calls := map[string]func() error{
			"read":  func() error { _, err := s.Read(b.Context(), keys, since); return err },
			"write": func() error { return s.Write(b.Context(), records) },
		}
		for _, name := range []string{"write", "read"} {
			f := calls[name]
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					require.NoError(b, f())
				}
			})
			b.Run(fmt.Sprintf("%s/%d/parallel", name, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(32)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := f(); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}
