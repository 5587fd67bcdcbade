package benchmarks

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/snowfence/snowfence/courier"
	"golang.org/x/sync/singleflight"
	resenje "resenje.org/singleflight"
)

// BenchmarkMiss fetches keys that were never stored, with a loader that does nothing.
func BenchmarkMiss(b *testing.B) {
	b.Run("keys=int", benchmarkMiss[int])
	b.Run("keys=string", benchmarkMiss[string])
}

// floor names the least that something can cost.
const floor = "floor"

// newFloor returns what a miss with a goroutine of its own costs at least: its fetch starts one,
// which calls the loader and wakes the caller, and nothing else.
func newFloor[K keys](
	_ testing.TB, _ int, _ time.Duration, load loader[K, int],
) subject[K, int] {
	return subject[K, int]{fetch: func(ctx context.Context, key K) (int, error) {
		done := make(chan courier.Outcome[int], 1)
		go func() {
			v, err := load(ctx, key)
			done <- courier.Outcome[int]{Value: v, Err: err}
		}()
		select {
		case o := <-done:
			return o.Value, o.Err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}}
}

func benchmarkMiss[K keys](b *testing.B) {
	run := func(b *testing.B, l library[K, int], ttl time.Duration) {
		c := l.make(b, keyCount, ttl, number[K])
		keys := keysOf[K](1 << 20)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			if n == len(keys) { // some policies would remember the keys
				b.StopTimer()
				c, n = l.make(b, keyCount, ttl, number[K]), 0
				b.StartTimer()
			}
			if v, err := c.fetch(ctx, keys[n]); err != nil || v != 7 {
				b.Fatalf("key %d: %d, %v", n, v, err)
			}
			n++
		}
	}
	each(b, plain, run)
	if wanted(floor) {
		b.Run("lib="+floor, func(b *testing.B) {
			run(b, library[K, int]{name: floor, make: newFloor[K]}, 0)
		})
	}
}

// BenchmarkHerd fetches one missing key in 1,000 goroutines. An operation is a herd, including its
// goroutines.
func BenchmarkHerd(b *testing.B) {
	b.Run("keys=1/callers=1000", func(b *testing.B) { benchmarkHerd(b, 1, 1000) })
	b.Run("keys=1000/callers=10", func(b *testing.B) { benchmarkHerd(b, 1000, 10) })
}

func benchmarkHerd(b *testing.B, keys, callers int) {
	b.Helper()
	each(b, plain, func(b *testing.B, l library[int, int], ttl time.Duration) {
		c := l.make(b, keyCount, ttl, number[int])
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		first := 0
		b.ReportAllocs()
		for b.Loop() {
			var wg sync.WaitGroup
			for range callers {
				for key := range keys {
					wg.Go(func() {
						if _, err := c.fetch(ctx, first+key); err != nil {
							b.Error(err)
						}
					})
				}
			}
			wg.Wait()
			first += keys
		}
	})
}

// BenchmarkFlight makes one call for a key without other callers, with the courier and with other
// ways to de-duplicate calls. singleflight.Do runs the function in its caller, so a panic or Goexit
// reaches the caller; the others run it in a goroutine.
func BenchmarkFlight(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	keys := make([]string, 1<<12)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	run := func(lib string, do func(key string) error) {
		if !wanted(lib) {
			return
		}
		b.Run("lib="+lib, func(b *testing.B) {
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				if err := do(keys[n&(1<<12-1)]); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
	}
	var c courier.Courier[string, int]
	run("snowfence", func(key string) error {
		_, _, err := c.Do(ctx, key, func(context.Context) (int, error) { return 7, nil })
		return err
	})
	var do, doChan singleflight.Group
	run("singleflight-do", func(key string) error {
		_, err, _ := do.Do(key, func() (any, error) { return 7, nil })
		return err
	})
	run("singleflight-dochan", func(key string) error {
		select {
		case r := <-doChan.DoChan(key, func() (any, error) { return 7, nil }):
			return r.Err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	var r resenje.Group[string, int]
	run("resenje", func(key string) error {
		_, _, err := r.Do(ctx, key, func(context.Context) (int, error) { return 7, nil })
		return err
	})
}
