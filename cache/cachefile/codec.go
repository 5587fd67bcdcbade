package cachefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// A Codec turns values, or keys, into bytes and back. Its methods must not keep or change their
// arguments, but for the bytes that Decode gets. A call of Save or
// Load calls them in its goroutine.
type Codec[V any] interface {
	// Name distinguishes codecs: a file is refused if the codec that wrote it has another name.
	Name() string
	// Encode returns the bytes of a value. The caller does not change them, so they may be the value
	// itself.
	Encode(value V) ([]byte, error)
	// Decode returns the value of bytes that came from a file, so it must check them. It may keep
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

type stringCodec struct{}

func (stringCodec) Name() string                        { return "string" }
func (stringCodec) Encode(value string) ([]byte, error) { return []byte(value), nil }
func (stringCodec) Decode(data []byte) (string, error)  { return string(data), nil }

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

// codecOr returns c or, if that is nil, the default for V.
func codecOr[V any](c Codec[V]) Codec[V] {
	if c != nil {
		return c
	}
	if c, ok := any(stringCodec{}).(Codec[V]); ok {
		return c
	}
	if c, ok := any(bytesCodec{}).(Codec[V]); ok {
		return c
	}
	return JSON[V]()
}

// contents describes what a codec makes of values of type V.
func contents[V any](c Codec[V]) string {
	return fmt.Sprintf("%s of %s", c.Name(), reflect.TypeFor[V]())
}

// guard calls f, which calls a codec, and turns a panic into an error.
func guard[R any](f func() (R, error)) (r R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the codec panicked: %v", p)
		}
	}()
	return f()
}
