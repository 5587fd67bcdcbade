package cache_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/snowfence/snowfence/cache"
)

// BenchmarkWhileALoadRuns sets keys, or misses different ones, on all cores while one slow load
// runs: none of these calls may wait for a lock that all keys share.
func BenchmarkWhileALoadRuns(b *testing.B) {
	c, err := cache.New(cache.Options[int, int]{Capacity: 1 << 16})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	loading := make(chan struct{})
	release := make(chan struct{})
	go func() {
		_, _ = c.Fetch(context.Background(), -1, func(context.Context, int) (int, error) {
			close(loading)
			<-release
			return 0, nil
		})
	}()
	<-loading
	defer close(release)
	var first atomic.Int64
	each := func(b *testing.B, op func(key int)) {
		b.RunParallel(func(pb *testing.PB) {
			for key := int(first.Add(1e9)); pb.Next(); key++ { // keys that only this goroutine uses
				op(key)
			}
		})
	}
	b.Run("Set", func(b *testing.B) { each(b, func(key int) { c.Set(key%(1<<15), key) }) })
	b.Run("miss", func(b *testing.B) {
		load := func(_ context.Context, key int) (int, error) { return key, nil }
		each(b, func(key int) {
			if _, err := c.Fetch(context.Background(), key, load); err != nil {
				b.Error(err)
			}
		})
	})
}
