package cluster

import (
	"encoding/json"
	"fmt"
	"unsafe"
)

// A Codec turns values into bytes and back, for the way between nodes. Its methods are called at
// the same time, and must not keep or change what they are given.
type Codec[V any] interface {
	// Name tells codecs apart: nodes whose codecs have different names do not ask each other.
	Name() string
	// Encode returns the bytes of a value. They are not changed by the caller, so they may be the
	// value itself.
	Encode(value V) ([]byte, error)
	// Decode returns the value of bytes that come from the network: it must check them. The bytes
	// are the codec's to keep.
	Decode(data []byte) (V, error)
}

// JSON is the [Codec] of encoding/json: what is used where there is no other.
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

// Encode returns value itself, but if it is nothing but zeros: one more then. So nil and empty
// differ.
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

func isZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}

type stringCodec struct{}

func (stringCodec) Name() string { return "string" }

// Neither copies: nobody changes what Encode returns, and what Decode gets is its own.

func (stringCodec) Encode(value string) ([]byte, error) {
	return unsafe.Slice(unsafe.StringData(value), len(value)), nil
}

func (stringCodec) Decode(data []byte) (string, error) {
	return unsafe.String(unsafe.SliceData(data), len(data)), nil
}

// defaultCodec is the codec for V where the user has none.
func defaultCodec[V any]() Codec[V] {
	if c, ok := any(bytesCodec{}).(Codec[V]); ok {
		return c
	}
	if c, ok := any(stringCodec{}).(Codec[V]); ok {
		return c
	}
	return JSON[V]()
}

// encodeValue calls Encode. A value that makes it panic is one that can't be sent: no caller gets
// that panic, nor do those of other keys of a batch.
func (c *Cache[V]) encodeValue(v V) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return c.o.Codec.Encode(v)
}

// decodeValue calls Decode, as encodeValue does Encode.
func (c *Cache[V]) decodeValue(data []byte) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return c.o.Codec.Decode(data)
}

func panicked(p any) error { return fmt.Errorf("it panicked: %v", p) }
