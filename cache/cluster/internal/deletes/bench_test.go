package deletes

import (
	"fmt"
	"strconv"
	"testing"
)

// filled returns a node with deletes that another one, of incarnation 2, lacks.
func filled(b *testing.B, deletes int) (*Book, *world) {
	b.Helper()
	w := pair(nil)
	for i := range deletes {
		w.nodes[0].book.Delete(fmt.Sprintf("some-key-%08d", i))
	}
	return w.nodes[0].book, w
}

func BenchmarkAfter(b *testing.B) {
	for _, x := range []struct {
		name    string
		deletes int
		key     string
		told    bool
	}{
		{"empty", 0, "some-key", false},
		{"64k that all have", 64 << 10, "some-key-00000007", true},
		{"none of 64k", 64 << 10, "other-key", false},
		{"one of 64k", 64 << 10, "some-key-00000007", false},
	} {
		b.Run(x.name, func(b *testing.B) {
			book, w := filled(b, x.deletes)
			if x.told {
				w.exchange(0, 1)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					book.After(2, x.key)
				}
			})
		})
	}
}

func BenchmarkDelete(b *testing.B) {
	book, _ := filled(b, 0)
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("some-key-%08d", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		book.Delete(keys[i%len(keys)])
	}
}

func BenchmarkRequireKnown(b *testing.B) {
	book, w := filled(b, 1000)
	after := book.After(2, "some-key-00000007")
	w.exchange(0, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.nodes[1].book.Require("some-key-00000007", after); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	for _, lacking := range []int{0, 1000} {
		b.Run(strconv.Itoa(lacking), func(b *testing.B) {
			book, w := filled(b, 64<<10)
			w.exchange(0, 1)
			w.exchange(0, 1)
			for i := range lacking {
				book.Delete(fmt.Sprintf("some-key-%08d", i))
			}
			b.ReportAllocs()
			var size int
			for b.Loop() {
				size = len(book.Message(2, 1<<20))
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	book, w := filled(b, 1000)
	data := book.Message(2, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		o := w.clone().nodes[1].book
		b.StartTimer()
		if _, err := o.Answer("0", data, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
