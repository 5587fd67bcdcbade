package wire_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/registry/internal/replica"
	"github.com/snowfence/snowfence/registry/internal/wire"
)

// TestRoundTrip checks that a frame is the same after encoding and decoding, takes the number of
// bytes that Size returns, and shares no memory with its encoding.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t)
		prefix := []byte("before")
		b, err := wire.Append(prefix, f)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(b, prefix))
		b = b[len(prefix):]
		require.Len(t, b, f.Size())
		want := wire.HeaderSize(f.From)
		for _, i := range f.Items {
			want += i.Size()
		}
		require.Equal(t, want, f.Size())

		got, err := wire.Decode(b, wire.Limits{})
		require.NoError(t, err)
		for i := range b {
			b[i] = 0xaa
		}
		require.Equal(t, f, got)
	})
}

// TestItemSizeKnowsNoFrame checks that an item takes the same number of bytes in any frame and at
// any position.
func TestItemSizeKnowsNoFrame(t *testing.T) {
	for name, f := range samples() {
		other := *f
		other.From, other.Incarnation, other.Sent = "somebody else", 1, -1
		a := mustAppend(t, f)[wire.HeaderSize(f.From):]
		b := mustAppend(t, &other)[wire.HeaderSize(other.From):]
		require.Equal(t, a, b, name)
	}
}

// TestEmptyMetadataIsNil checks that "no metadata" has one encoding, and one decoded form.
func TestEmptyMetadataIsNil(t *testing.T) {
	f := samples()["update"]
	update, ok := f.Items[0].Message.(*replica.Update)
	require.True(t, ok)
	update.Records[0].Meta = []byte{}
	got, err := wire.Decode(mustAppend(t, f), wire.Limits{})
	require.NoError(t, err)
	decoded, ok := got.Items[0].Message.(*replica.Update)
	require.True(t, ok)
	require.Nil(t, decoded.Records[0].Meta)
}

var rewrite = flag.Bool("rewrite", false,
	"write testdata/golden.txt anew; for a change of wire.Version only")

// TestGolden compares the encodings of version 2 with testdata. If it fails, nodes of two releases
// in one cluster would not understand each other: raise Version.
func TestGolden(t *testing.T) {
	file := filepath.Join("testdata", "golden.txt")
	frames := samples()
	if *rewrite {
		var text strings.Builder
		text.WriteString("# Frames of the samples in frames_test.go, format version 2: name, bytes in " +
			"hexadecimal.\n")
		for _, name := range []string{"empty", "update", "summary", "vector", "pull", "chunk", "check",
			"standing", "all"} {
			text.WriteString(name + " " + hex.EncodeToString(mustAppend(t, frames[name])) + "\n")
		}
		require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	seen := 0
	for line := range strings.Lines(string(text)) {
		name, hexed, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		want, err := hex.DecodeString(hexed)
		require.NoError(t, err)
		require.Equal(t, hexed, hex.EncodeToString(mustAppend(t, frames[name])), name)
		got, err := wire.Decode(want, wire.Limits{})
		require.NoError(t, err)
		require.Equal(t, frames[name], got, name)
		seen++
	}
	require.Len(t, frames, seen)
}
