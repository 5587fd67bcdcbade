package codec_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/internal/codec"
)

type (
	hidden  struct{ a int }
	partly  struct{ A, b int }
	nested  []nested
	left    []right
	right   []left
	embeds  struct{ hidden }
	plainly struct{ A int }
)

// TestUnfit: a type whose values JSON loses is found before any work, and no other is.
func TestUnfit(t *testing.T) {
	require.Equal(t, "codec_test.hidden has no exported field, and JSON has no others",
		codec.Unfit(codec.Default[hidden]()))
	require.Equal(t, "codec_test.hidden has no exported field, and JSON has no others",
		codec.Unfit(codec.Default[[]*hidden]()))
	require.Equal(t, "JSON has no func()", codec.Unfit(codec.Default[func()]()))
	require.Equal(t, "JSON has no chan int", codec.Unfit(codec.Default[*chan int]()))
	require.Equal(t, "JSON does not say which type a value of the interface error has",
		codec.Unfit(codec.Default[error]()))

	_, _, _ = hidden{}.a, partly{}.b, embeds{}.hidden
	for _, why := range []string{
		codec.Unfit(codec.Default[partly]()), codec.Unfit(codec.Default[nested]()),
		codec.Unfit(codec.Default[left]()),
		codec.Unfit(codec.Default[embeds]()), codec.Unfit(codec.Default[*plainly]()),
		codec.Unfit(codec.Default[struct{}]()), codec.Unfit(codec.Default[time.Time]()),
		codec.Unfit(codec.Default[map[string]any]()), codec.Unfit(codec.Default[[]byte]()),
		codec.Unfit[hidden](ownCodec{}),
	} {
		require.Empty(t, why)
	}
}

type ownCodec struct{}

func (ownCodec) Name() string                  { return "own" }
func (ownCodec) Encode(hidden) ([]byte, error) { return nil, nil }
func (ownCodec) Decode([]byte) (hidden, error) { return hidden{}, nil }
