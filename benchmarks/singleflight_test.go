package benchmarks

import (
	"context"
	"fmt"
	"sync"
	"testing"

	ours "github.com/snowfence/snowfence/courier/singleflight"
	"golang.org/x/sync/singleflight"
	resenje "resenje.org/singleflight"
)

// A caller calls fn for key, and returns a function that waits for its outcome.
type caller func(key string, fn func()) (wait func() error)

// BenchmarkSingleflight makes one call for a key, for one caller or for a hundred, with
// courier/singleflight and with the packages that it can take the place of. An operation is the
// call and its callers: for Do and DoContext a goroutine each if there are several, for DoChan a
// channel each.
func BenchmarkSingleflight(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var (
		group  ours.Group
		xsync  singleflight.Group
		theirs resenje.Group[string, any]
	)
	type do = func(string, func() (any, error)) (any, error, bool)
	blocking := func(f do) caller {
		return func(key string, fn func()) func() error {
			return func() error {
				_, err, _ := f(key, func() (any, error) { fn(); return nil, nil })
				return err
			}
		}
	}
	for _, bm := range []struct {
		call, lib string
		caller    caller
	}{
		{"Do", "snowfence", blocking(group.Do)},
		{"Do", "singleflight-do", blocking(xsync.Do)},
		{"DoChan", "snowfence", func(key string, fn func()) func() error {
			c := group.DoChan(key, func() (any, error) { fn(); return nil, nil })
			return func() error { return (<-c).Err }
		}},
		{"DoChan", "singleflight-dochan", func(key string, fn func()) func() error {
			c := xsync.DoChan(key, func() (any, error) { fn(); return nil, nil })
			return func() error { return (<-c).Err }
		}},
		{"DoContext", "snowfence", blocking(func(key string, fn func() (any, error)) (any, error, bool) {
			return group.DoContext(ctx, key, func(context.Context) (any, error) { return fn() })
		})},
		{"DoContext", "resenje", blocking(func(key string, fn func() (any, error)) (any, error, bool) {
			v, shared, err := theirs.Do(ctx, key, func(context.Context) (any, error) { return fn() })
			return v, err, shared
		})},
	} {
		for _, callers := range []int{1, 100} {
			if !wanted(bm.lib) {
				continue
			}
			b.Run(fmt.Sprintf("call=%s/callers=%d/lib=%s", bm.call, callers, bm.lib), func(b *testing.B) {
				if callers == 1 {
					benchmarkCall(b, bm.caller)
				} else {
					benchmarkCallers(b, bm.caller, callers, bm.call != "DoChan")
				}
			})
		}
	}
}

func benchmarkCall(b *testing.B, call caller) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if err := call("key", func() {})(); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkCallers lets several callers wait for a function that returns when all have called.
func benchmarkCallers(b *testing.B, call caller, callers int, block bool) {
	b.Helper()
	waits := make([]func() error, callers)
	b.ReportAllocs()
	for b.Loop() {
		gate := make(chan struct{})
		fn := func() { <-gate }
		var wg, called sync.WaitGroup
		called.Add(callers)
		for i := range waits {
			waits[i] = call("key", fn)
			if !block {
				called.Done()
				continue
			}
			wg.Go(func() {
				called.Done()
				if err := waits[i](); err != nil {
					b.Error(err)
				}
			})
		}
		called.Wait()
		close(gate)
		if block {
			wg.Wait()
			continue
		}
		for _, wait := range waits {
			if err := wait(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
