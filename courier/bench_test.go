package courier_test

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sync/singleflight"

	"github.com/snowfence/snowfence/courier"
)

// The flights in these benchmarks do nothing, so that only the courier is measured.

func BenchmarkDo(b *testing.B) {
	contexts := []struct {
		name string
		ctx  context.Context
	}{
		{"background", context.Background()},
		{"cancellable", b.Context()}, // like that of a request, for which users of DoChan select
	}
	for _, bc := range contexts {
		ctx := bc.ctx
		b.Run("courier/"+bc.name, func(b *testing.B) {
			c := courier.New[string, int]()
			fetch := func(context.Context) (int, error) { return 1, nil }
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := c.Do(ctx, "key", fetch); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("singleflight.DoChan/"+bc.name, func(b *testing.B) {
			var g singleflight.Group
			fetch := func() (any, error) { return 1, nil }
			done := ctx.Done()
			b.ReportAllocs()
			for b.Loop() {
				ch := g.DoChan("key", fetch)
				if done == nil {
					<-ch
					continue
				}
				select {
				case <-ch:
				case <-done:
					b.Fatal(ctx.Err())
				}
			}
		})
	}
}

// BenchmarkHerd fetches one missing key in 1,000 goroutines. An operation is a herd; allocations
// include its goroutines.
func BenchmarkHerd(b *testing.B) {
	const callers = 1000
	herd := func(b *testing.B, call func(gate chan struct{}) error) {
		b.ReportAllocs()
		for b.Loop() {
			var wg sync.WaitGroup
			var entered sync.WaitGroup
			gate := make(chan struct{})
			entered.Add(callers)
			for range callers {
				wg.Go(func() {
					entered.Done()
					if err := call(gate); err != nil {
						b.Error(err)
					}
				})
			}
			entered.Wait()
			close(gate)
			wg.Wait()
		}
	}
	b.Run("courier", func(b *testing.B) {
		c := courier.New[string, int]()
		ctx := b.Context()
		herd(b, func(gate chan struct{}) error {
			_, _, err := c.Do(ctx, "key", func(context.Context) (int, error) { <-gate; return 1, nil })
			return err
		})
	})
	b.Run("singleflight.DoChan", func(b *testing.B) {
		var g singleflight.Group
		herd(b, func(gate chan struct{}) error {
			return (<-g.DoChan("key", func() (any, error) { <-gate; return 1, nil })).Err
		})
	})
}

// BenchmarkDoMany fetches several keys with one call. Time and allocations per key are reported
// apart, so that sizes can be compared.
func BenchmarkDoMany(b *testing.B) {
	for _, n := range []int{1, 10, 1000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := courier.New[string, int]()
			keys := keysNamed(n)
			answer := make(outcomes, n)
			fetch := func(context.Context, []string) (outcomes, error) { return answer, nil }
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if c.DoMany(ctx, keys, fetch)[n-1].Err != nil {
					b.Fatal("failed")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/key")
		})
	}
}
