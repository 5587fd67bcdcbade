package cachefile_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachefile"
)

const benchEntries = 100_000

// benchCache returns a cache of benchEntries values, and a path.
func benchCache[V any](b *testing.B, value V) (*cache.Cache[string, V], string) {
	b.Helper()
	c := newCache(b, cache.Options[string, V]{Capacity: benchEntries, TTL: time.Hour})
	for i := range benchEntries {
		c.Set("key:"+strconv.Itoa(i), value)
	}
	return c, tempPath(b)
}

func benchSave[V any](b *testing.B, value V) {
	c, path := benchCache(b, value)
	b.ReportAllocs()
	var saved cachefile.Saved
	for b.Loop() {
		var err error
		saved, err = cachefile.Save(context.Background(), c, path, cachefile.Options[string, V]{})
		require.NoError(b, err)
	}
	b.ReportMetric(float64(saved.Entries*b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(saved.Bytes)/float64(saved.Entries), "bytes/entry")
}

func benchLoad[V any](b *testing.B, value V) {
	c, path := benchCache(b, value)
	save(b, c, path, cachefile.Options[string, V]{})
	to := newCache(b, cache.Options[string, V]{Capacity: benchEntries, TTL: time.Hour})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		to.Clear()
		n += load(b, to, path, cachefile.Options[string, V]{}).Entries
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkSave(b *testing.B) {
	b.Run("bytes", func(b *testing.B) { benchSave(b, make([]byte, 100)) })
	b.Run("json", func(b *testing.B) { benchSave(b, user{Name: "Ada", Roles: []string{"admin"}}) })
}

func BenchmarkLoad(b *testing.B) {
	b.Run("bytes", func(b *testing.B) { benchLoad(b, make([]byte, 100)) })
	b.Run("json", func(b *testing.B) { benchLoad(b, user{Name: "Ada", Roles: []string{"admin"}}) })
}
