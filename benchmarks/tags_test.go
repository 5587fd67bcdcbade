package benchmarks

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/snowfence/snowfence/cache"
	"github.com/stretchr/testify/require"
)

const (
	taggedKeys = 100_000
	tagCount   = 1000 // different tags, each borne by a hundred entries or more
)

// A taggedCache is a cache whose entries may bear tags.
type taggedCache struct {
	name string
	tags func(tags int) func(key, value int) []string // makes Options.Tags
}

// taggedCaches are compared with each other: none of the other libraries has tags.
var taggedCaches = []taggedCache{
	{"snowfence", func(int) func(int, int) []string { return nil }},
	{"snowfence-tagged", tagsOf},
}

// tagsOf returns a function that gives each key the same number of tags. It allocates nothing, so
// that only the cache is measured.
func tagsOf(tags int) func(key, value int) []string {
	names := make([]string, tagCount+tags)
	for i := range names {
		names[i] = "tag:" + strconv.Itoa(i%tagCount)
	}
	return func(key, _ int) []string {
		first := key % tagCount
		return names[first : first+tags]
	}
}

func (t taggedCache) make(tb testing.TB, tags int) *cache.Cache[int, int] {
	tb.Helper()
	c, err := cache.New(cache.Options[int, int]{Capacity: taggedKeys, Tags: t.tags(tags)})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return c
}

// BenchmarkTags reads, replaces and inserts values that bear tags in a full cache, beside a cache
// without tags. An insertion evicts an entry.
func BenchmarkTags(b *testing.B) {
	for _, op := range []struct {
		name string
		run  func(c *cache.Cache[int, int], i int)
	}{
		{"hit", func(c *cache.Cache[int, int], i int) { c.Get(i % taggedKeys) }},
		{"replace", func(c *cache.Cache[int, int], i int) { c.Set(i%taggedKeys, i) }},
		{"insert", func(c *cache.Cache[int, int], i int) { c.Set(taggedKeys+i, i) }},
	} {
		for _, tags := range []int{1, 3} {
			b.Run(fmt.Sprintf("op=%s/tags=%d", op.name, tags), func(b *testing.B) {
				benchmarkTags(b, tags, op.run)
			})
		}
	}
}

func benchmarkTags(b *testing.B, tags int, run func(c *cache.Cache[int, int], i int)) {
	b.Helper()
	for _, t := range taggedCaches {
		if !wanted(t.name) {
			continue
		}
		b.Run("lib="+t.name, func(b *testing.B) {
			c := t.make(b, tags)
			for i := range taggedKeys {
				c.Set(i, i)
			}
			i := 0
			cpu := newCPUMeter()
			b.ReportAllocs()
			for b.Loop() {
				run(c, i)
				i += 7919 // a prime, so that keys are not in the order in which they were stored
			}
			cpu.report(b)
		})
	}
}

// An invalidation of a tag removes an entry of the tagged cache only.
func TestTaggedCaches(t *testing.T) {
	for _, caches := range taggedCaches {
		for _, tags := range []int{1, 3} {
			c := caches.make(t, tags)
			for i := range 10 {
				c.Set(i, i)
			}
			want := 0
			if caches.name == "snowfence-tagged" {
				want = tags
			}
			c.InvalidateTag("tag:5")
			require.Equal(t, 10-want, c.Len(), caches.name)
		}
	}
}
