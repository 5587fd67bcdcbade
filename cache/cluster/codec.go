package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unsafe"
)

// A Codec turns values into bytes and back, for the way between nodes. Its methods are called by
// several goroutines at a time. They must not keep or change their arguments, but for the bytes
// that Decode gets.
type Codec[V any] interface {
	// Name distinguishes codecs: nodes whose codecs have different names do not ask each other.
	Name() string
	// Encode returns the bytes of a value. The caller does not change them, so they may be the value
	// itself.
	Encode(value V) ([]byte, error)
	// Decode returns the value of bytes that came from the network, so it must check them. It may keep
	// the bytes.
	Decode(data []byte) (V, error)
}

// JSON returns the [Codec] of encoding/json, the default for most types.
func JSON[V any]() Codec[V] { return jsonCodec[V]{} }

type jsonCodec[V any] struct{}

func (jsonCodec[V]) Name() string                   { return "json" }
func (jsonCodec[V]) Encode(value V) ([]byte, error) { return json.Marshal(value) }

func (jsonCodec[V]) Decode(data []byte) (value V, err error) {
	err = json.Unmarshal(data, &value)
	return value, err
}

type bytesCodec struct{}

func (bytesCodec) Name() string { return "bytes" }

// Encode returns value itself, unless all its bytes are zero: then it returns one zero more. So nil
// and empty differ.
func (bytesCodec) Encode(value []byte) ([]byte, error) {
	if value == nil || !isZero(value) {
		return value, nil
	}
	return make([]byte, len(value)+1), nil
}

func (bytesCodec) Decode(data []byte) ([]byte, error) {
	switch {
	case len(data) == 0:
		return nil, nil
	case isZero(data):
		return data[:len(data)-1], nil
	}
	return data, nil
}

func isZero(data []byte) bool { return len(bytes.TrimLeft(data, "\x00")) == 0 }

type stringCodec struct{}

func (stringCodec) Name() string { return "string" }

// Neither method copies: the caller does not change Encode's result, and Decode owns its argument.

func (stringCodec) Encode(value string) ([]byte, error) {
	return unsafe.Slice(unsafe.StringData(value), len(value)), nil
}

func (stringCodec) Decode(data []byte) (string, error) {
	return unsafe.String(unsafe.SliceData(data), len(data)), nil
}

// defaultCodec returns the codec for V of a user who has set none.
func defaultCodec[V any]() Codec[V] {
	if c, ok := any(bytesCodec{}).(Codec[V]); ok {
		return c
	}
	if c, ok := any(stringCodec{}).(Codec[V]); ok {
		return c
	}
	return JSON[V]()
}

// encodeValue calls Encode. If that panics, the value can't be sent; no caller gets the panic, nor
// do callers of other keys of a batch.
func (c *Cache[V]) encodeValue(v V) ([]byte, error) {
	return panicAsError(func() ([]byte, error) { return c.o.Codec.Encode(v) })
}

// decodeValue calls Decode, and turns a panic into an error.
func (c *Cache[V]) decodeValue(data []byte) (V, error) {
	return panicAsError(func() (V, error) { return c.o.Codec.Decode(data) })
}

// panicAsError calls f, and turns a panic into an error.
func panicAsError[R any](f func() (R, error)) (r R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	return f()
}
