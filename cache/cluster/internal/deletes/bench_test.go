package deletes

import (
	"fmt"
	"strconv"
	"testing"
)

func filled(b *testing.B, entries int) *Log {
	b.Helper()
	l := New(Options{Run: 1, Apply: func([]Entry) {}, Reset: func() {}})
	for i := range entries {
		l.Delete(fmt.Sprintf("some-key-%08d", i))
	}
	return l
}

func BenchmarkAfter(b *testing.B) {
	for _, x := range []struct {
		name    string
		entries int
		key     string
		clears  bool
	}{
		{"empty", 0, "some-key", false},
		{"none of 64k", 64 << 10, "other-key", false},
		{"one of 64k", 64 << 10, "some-key-00000007", false},
		{"with a clear", 0, "some-key", true},
	} {
		b.Run(x.name, func(b *testing.B) {
			l := filled(b, x.entries)
			if x.clears {
				l.Clear()
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l.After(x.key)
				}
			})
		})
	}
}

func BenchmarkDelete(b *testing.B) {
	l := filled(b, 0)
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("some-key-%08d", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Delete(keys[i%len(keys)])
	}
}

func BenchmarkRequireKnown(b *testing.B) {
	l := filled(b, 1000)
	other := New(Options{Run: 2, Apply: func([]Entry) {}, Reset: func() {}})
	data, _ := l.Message(Vector{}, 1<<20)
	if _, err := other.Merge(data); err != nil {
		b.Fatal(err)
	}
	after := l.After("some-key-00000007")
	b.ReportAllocs()
	for b.Loop() {
		if err := other.Require("some-key-00000007", after); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	for _, lacking := range []int{0, 1000} {
		b.Run(strconv.Itoa(lacking), func(b *testing.B) {
			l := filled(b, 64<<10)
			known := Vector{9, []progress{{run: 1, applied: uint64(64<<10 - lacking)}}}
			b.ReportAllocs()
			var size int
			for b.Loop() {
				data, _ := l.Message(known, 1<<20)
				size = len(data)
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	l := filled(b, 1000)
	data, _ := l.Message(Vector{}, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		to := New(Options{Run: 2, Apply: func([]Entry) {}, Reset: func() {}})
		if _, err := to.Merge(data); err != nil {
			b.Fatal(err)
		}
	}
}
