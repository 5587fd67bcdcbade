package cluster

import "encoding/json"

// A Codec turns values into bytes and back, for the way between nodes. Its methods are called at the same time, and must not
// keep or change what they are given.
type Codec[V any] interface {
	// Name tells codecs apart: nodes whose codecs have different names do not ask each other.
	Name() string
	// Encode returns the bytes of a value. They are not changed by the caller, so they may be the value itself.
	Encode(value V) ([]byte, error)
	// Decode returns the value of bytes that come from the network: it must check them. The bytes are the codec's to keep.
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

func (bytesCodec) Name() string                        { return "bytes" }
func (bytesCodec) Encode(value []byte) ([]byte, error) { return value, nil }
func (bytesCodec) Decode(data []byte) ([]byte, error)  { return data, nil }

type stringCodec struct{}

func (stringCodec) Name() string                        { return "string" }
func (stringCodec) Encode(value string) ([]byte, error) { return []byte(value), nil }
func (stringCodec) Decode(data []byte) (string, error)  { return string(data), nil }

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
