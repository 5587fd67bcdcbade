package wire_test

import (
	"testing"

	"github.com/snowfence/snowfence/registry/internal/wire"
)

func BenchmarkAppend(b *testing.B) {
	f := bigChunk(4000)
	dst := make([]byte, 0, f.Size())
	b.SetBytes(int64(f.Size()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Append(dst, f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	buf := mustAppend(b, bigChunk(4000))
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(buf, wire.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodePacket decodes the common case: one registration by gossip.
func BenchmarkDecodePacket(b *testing.B) {
	buf := mustAppend(b, bigChunk(1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(buf, wire.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSize(b *testing.B) {
	f := bigChunk(4000)
	for b.Loop() {
		f.Size()
	}
}
