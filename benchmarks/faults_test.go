package benchmarks

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cannot lists the libraries that BenchmarkFaults can't run, with the reasons.
var cannot = map[string]string{
	"groupcache": "after a panic every later call for the key hangs for ever",
	"ttlcache":   "its loader has no context, so a load that hangs never ends, nor do its callers",
}

// BenchmarkFaults fetches 10,000 keys, zipf(1.01), that live for 50 ms at most, while the loads of
// 1 % of the keys panic and those of another 1 % hang until their context ends; loads that ignore
// it would hang most libraries for ever. Callers have a deadline of 20 ms each, and recover, since
// most libraries panic in them. An operation is one fetch of the other 98 % of the keys; the time
// includes the effect of the bad keys on the 64 workers.
func BenchmarkFaults(b *testing.B) {
	const keyTotal, workers = 10_000, 64
	load := func(ctx context.Context, key int) (int, error) {
		switch key % 100 {
		case 98:
			panic("the load panics")
		case 99:
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return key, nil
	}
	for _, l := range libraries[int, int]() {
		if !wanted(l.name) {
			continue
		}
		b.Run("lib="+l.name, func(b *testing.B) {
			if why := cannot[l.name]; why != "" {
				b.Skip(why)
			}
			c := l.make(b, keyTotal, 50*time.Millisecond, load)
			keys := draws[int](b, keyTotal)
			var left, next, failed atomic.Int64
			left.Store(int64(b.N))
			latencies := make([][]time.Duration, workers)
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for left.Load() > 0 {
						key := keys[int(next.Add(1))*7919&(len(keys)-1)]
						began := time.Now()
						err := fetchWithin(c.fetch, key, 20*time.Millisecond)
						if key%100 >= 98 {
							continue
						}
						if err != nil {
							failed.Add(1)
						}
						latencies[w] = append(latencies[w], time.Since(began))
						left.Add(-1)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			all := slices.Sorted(slices.Values(slices.Concat(latencies...)))
			b.ReportMetric(float64(all[len(all)*999/1000].Nanoseconds()), "p99.9-ns")
			b.ReportMetric(100*float64(failed.Load())/float64(len(all)), "%failed")
		})
	}
}

// fetchWithin fetches a key with a deadline, and recovers from panics.
func fetchWithin(
	fetch func(context.Context, int) (int, error), key int, limit time.Duration,
) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	defer func() {
		if recover() != nil {
			err = errLoad
		}
	}()
	_, err = fetch(ctx, key)
	return err
}
