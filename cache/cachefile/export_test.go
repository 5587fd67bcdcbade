package cachefile

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/snowfence/snowfence/cache"
)

// This file exports what the tests of package cachefile_test need.

// WithNow returns o with the wall clock now.
func WithNow[K comparable, V any](o Options[K, V], now func() time.Time) Options[K, V] {
	o.now = now
	return o
}

// WithTrace returns o, for a Save that calls trace after each step: "written", "synced" and
// "renamed".
func WithTrace[K comparable, V any](o Options[K, V], trace func(step string)) Options[K, V] {
	o.trace = trace
	return o
}

// WithWriter returns o, for a Save that writes to what wrap makes of the file.
func WithWriter[K comparable, V any](
	o Options[K, V], wrap func(io.Writer) io.Writer,
) Options[K, V] {
	o.wrap = wrap
	return o
}

// LoadBytes loads a file that has data.
func LoadBytes[K comparable, V any](
	ctx context.Context, c *cache.Cache[K, V], data []byte, o Options[K, V],
) (Loaded, error) {
	return load(ctx, c, bytes.NewReader(data), int64(len(data)), "file", o.withDefaults())
}

// The kinds of frames.
const (
	HeaderFrame = headerFrame
	BlockFrame  = blockFrame
	EndFrame    = endFrame
)

// Frames returns a file with the given payloads in frames of the given kinds, with right checksums.
func Frames(kinds []byte, payloads ...[]byte) []byte {
	var file bytes.Buffer
	w, err := newFrameWriter(&file)
	if err != nil {
		panic(err) // a Buffer returns none
	}
	for i, p := range payloads {
		if err := w.write(kinds[i], append(newFrame(), p...)); err != nil {
			panic(err)
		}
	}
	return file.Bytes()
}

// FrameOffsets returns the offsets at which the frames of a whole file begin.
func FrameOffsets(file []byte) (offsets []int64) {
	for at := preambleLen; at < len(file); {
		offsets = append(offsets, int64(at))
		at += frameHeadLen + int(uint32(file[at])|uint32(file[at+1])<<8|uint32(file[at+2])<<16)
	}
	return offsets
}
