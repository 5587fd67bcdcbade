// Package codec has the codecs that package cache and package cluster use if the user sets none.
package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unsafe"
)

// A Codec is a cache.Codec.
type Codec[V any] interface {
	Name() string
	Encode(value V) ([]byte, error)
	Decode(data []byte) (V, error)
}

// Default returns the codec of a V for which the user has set none: []byte and string are taken as
// they are, and all other types as JSON.
func Default[V any]() Codec[V] {
	if c, ok := any(Bytes{}).(Codec[V]); ok {
		return c
	}
	if c, ok := any(String{}).(Codec[V]); ok {
		return c
	}
	return JSON[V]{}
}

// Or returns c or, if that is nil, the default.
func Or[V any](c Codec[V]) Codec[V] {
	if c == nil {
		return Default[V]()
	}
	return c
}

// JSON is the codec of encoding/json.
type JSON[V any] struct{}

// Name implements Codec.
func (JSON[V]) Name() string { return "json" }

// Encode implements Codec.
func (JSON[V]) Encode(value V) ([]byte, error) { return json.Marshal(value) }

// Decode implements Codec.
func (JSON[V]) Decode(data []byte) (value V, err error) {
	err = json.Unmarshal(data, &value)
	return value, err
}

// Bytes is the codec of []byte.
type Bytes struct{}

// Name implements Codec.
func (Bytes) Name() string { return "bytes" }

// Encode returns value itself, unless all its bytes are zero: then it returns one zero more. So nil
// and empty differ.
func (Bytes) Encode(value []byte) ([]byte, error) {
	if value == nil || !isZero(value) {
		return value, nil
	}
	return make([]byte, len(value)+1), nil
}

// Decode implements Codec.
func (Bytes) Decode(data []byte) ([]byte, error) {
	switch {
	case len(data) == 0:
		return nil, nil
	case isZero(data):
		return data[:len(data)-1], nil
	}
	return data, nil
}

func isZero(data []byte) bool { return len(bytes.TrimLeft(data, "\x00")) == 0 }

// String is the codec of string. Neither method copies: the caller does not change Encode's
// result, and Decode owns its argument.
type String struct{}

// Name implements Codec.
func (String) Name() string { return "string" }

// Encode implements Codec.
func (String) Encode(value string) ([]byte, error) {
	return unsafe.Slice(unsafe.StringData(value), len(value)), nil
}

// Decode implements Codec.
func (String) Decode(data []byte) (string, error) {
	return unsafe.String(unsafe.SliceData(data), len(data)), nil
}

// Encode calls c.Encode, and turns a panic into an error.
func Encode[V any](c Codec[V], v V) ([]byte, error) {
	return panicAsError(func() ([]byte, error) { return c.Encode(v) })
}

// Decode calls c.Decode, and turns a panic into an error.
func Decode[V any](c Codec[V], data []byte) (V, error) {
	return panicAsError(func() (V, error) { return c.Decode(data) })
}

func panicAsError[R any](f func() (R, error)) (r R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	return f()
}
