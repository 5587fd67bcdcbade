package codec_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/internal/codec"
)

type text string

func TestDefault(t *testing.T) {
	require.Equal(t, "bytes", codec.Default[[]byte]().Name())
	require.Equal(t, "string", codec.Default[string]().Name())
	require.Equal(t, "json", codec.Default[text]().Name(), "a type of its own may have methods")
	require.Equal(t, "json", codec.Default[any]().Name())
}

// TestBytes: nil, empty and zero bytes come back as they were.
func TestBytes(t *testing.T) {
	for _, v := range [][]byte{nil, {}, {0}, {0, 0}, {0, 1}, {1, 0}, []byte("v")} {
		data, err := codec.Bytes{}.Encode(v)
		require.NoError(t, err)
		back, err := codec.Bytes{}.Decode(bytes.Clone(data))
		require.NoError(t, err)
		require.Equal(t, v, back, "%v and nil differ", v)
	}
}

func TestString(t *testing.T) {
	for _, v := range []string{"", "v", "\x00\xff"} {
		data, err := codec.String{}.Encode(v)
		require.NoError(t, err)
		back, err := codec.String{}.Decode(bytes.Clone(data))
		require.NoError(t, err)
		require.Equal(t, v, back)
	}
}

func TestJSON(t *testing.T) {
	type point struct{ X, Y int }
	data, err := codec.JSON[*point]{}.Encode(&point{1, 2})
	require.NoError(t, err)
	back, err := codec.JSON[*point]{}.Decode(data)
	require.NoError(t, err)
	require.Equal(t, &point{1, 2}, back)
	_, err = codec.JSON[*point]{}.Decode(data[1:])
	require.Error(t, err)
	_, err = codec.JSON[func()]{}.Encode(nil)
	require.Error(t, err)
}

var errCodec = errors.New("codec")

// A broken codec fails, or panics.
type broken struct{ panics bool }

func (broken) Name() string { return "broken" }

func (b broken) Encode(int) ([]byte, error) {
	if b.panics {
		panic("encode")
	}
	return nil, errCodec
}

func (b broken) Decode([]byte) (int, error) {
	if b.panics {
		panic("decode")
	}
	return 0, errCodec
}

// TestFailures: an error comes through, and a panic is one.
func TestFailures(t *testing.T) {
	_, err := codec.Encode[int](broken{}, 1)
	require.ErrorIs(t, err, errCodec)
	_, err = codec.Decode[int](broken{}, nil)
	require.ErrorIs(t, err, errCodec)
	_, err = codec.Encode[int](broken{panics: true}, 1)
	require.ErrorContains(t, err, "encode")
	_, err = codec.Decode[int](broken{panics: true}, nil)
	require.ErrorContains(t, err, "decode")
}

func FuzzBytes(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0})
	f.Add([]byte("v"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := codec.Bytes{}.Decode(bytes.Clone(data))
		require.NoError(t, err)
		again, err := codec.Bytes{}.Encode(v)
		require.NoError(t, err)
		require.Len(t, again, len(data))
		require.True(t, bytes.Equal(data, again))
	})
}
